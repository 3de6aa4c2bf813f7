-- Gives a new epoch.
--
-- KEYS  1 meta, 2 lease, 3 fence
-- ARGV  1 generation, 2 who wants to lead, 3 the epoch must be at least this
--
-- Answers the epoch, or an array:
--   {'generation', what it is}, {'leased', id of who has the lease}, {'settling'}
--
-- The epoch is never lower than the time, so that one that the server has forgotten is not given again.
local generation = redis.call('HGET', KEYS[1], 'generation')
if generation ~= ARGV[1] then
  return { 'generation', generation or '' }
end
local holder = redis.call('HGET', KEYS[2], 'id')
if holder and holder ~= ARGV[2] then
  return { 'leased', holder }
end
local now = milliseconds()
if unsettled(now) then
  return { 'settling' }
end
local epoch = math.max(now, tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0') + 1, tonumber(ARGV[3]))
local fence = redis.call('GET', KEYS[3])
if fence then
  epoch = math.max(epoch, tonumber(string.match(fence, '^%d+')) + 1)
end
redis.call('HSET', KEYS[1], 'epoch', string.format('%.0f', epoch), 'leader', ARGV[2], 'led', string.format('%.0f', now))
return epoch
