-- Takes the lease if it is free, renews it for who has it, and notes that a member is there.
--
-- KEYS  1 meta, 2 lease, 3 members, 4 fence
-- ARGV  1 generation, 2 id, 3 what others should know of the member, 4 length of the lease in ms, 5 how long ago, in ms, a
--       member may have been there last to be kept, 6 channel of turns, 7 the member's epoch if it leads, else 0
--
-- Answers an array: {id of who has the lease, what is known of it, ms that are left, epoch, time in ms}, or
--   {'generation', what it is}, {'settling', ms}. The epoch is that of the holder's lead, 0 if it has not taken it.
local generation = redis.call('HGET', KEYS[1], 'generation')
if generation ~= ARGV[1] then
  return { 'generation', generation or '' }
end
local now = milliseconds()
local _, _, settled = life(now, tonumber(ARGV[4]))
redis.call('HSET', KEYS[3], ARGV[2], string.format('%.0f ', now) .. ARGV[3])
if now < settled then
  return { 'settling', settled - now }
end
-- A little longer only for who led last, as far as the server knows.
local grace = settled + math.floor(tonumber(ARGV[4]) / 2)
local fence = tonumber(string.match(redis.call('GET', KEYS[4]) or '', '^%d+') or '0')
if now < grace and tonumber(ARGV[7]) ~= fence then
  return { 'settling', grace - now }
end
local holder = redis.call('HGET', KEYS[2], 'id')
if not holder or holder == ARGV[2] then
  redis.call('HSET', KEYS[2], 'id', ARGV[2], 'member', ARGV[3])
  redis.call('PEXPIRE', KEYS[2], ARGV[4])
end
if not holder then
  redis.call('PUBLISH', ARGV[6], ARGV[2])
  -- Whoever takes the lease tidies up.
  local all = redis.call('HGETALL', KEYS[3])
  for i = 1, #all, 2 do
    local seen = tonumber(string.match(all[i + 1], '^%d+'))
    if not seen or seen < now - tonumber(ARGV[5]) then
      redis.call('HDEL', KEYS[3], all[i])
    end
  end
end
local lead = redis.call('HMGET', KEYS[1], 'leader', 'epoch')
local lease = redis.call('HMGET', KEYS[2], 'id', 'member')
local epoch = '0'
if lead[1] == lease[1] then
  epoch = lead[2]
end
return { lease[1], lease[2], redis.call('PTTL', KEYS[2]), epoch, now }
