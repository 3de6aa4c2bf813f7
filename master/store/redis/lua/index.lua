-- Changes indexes.
--
-- KEYS  1 fence, then the keys that are changed
-- ARGV  1 fence, then for each key a letter, the number of values, and the values:
--       a  score and member …  into a sorted set       r  member …  out of a sorted set
--       s  value               a text                  d  value     the text goes if it is this
--       h  field and value …   into a hash             g  field …   out of a hash
--       b  offset …            bits that are set
--
-- Answers how many members and fields have come or gone, or an array of the fence.
local command = { a = 'ZADD', r = 'ZREM', h = 'HSET', g = 'HDEL' }
local p, changed = 2, 0
for k = 2, #KEYS do
  local what, n = ARGV[p], tonumber(ARGV[p + 1])
  if what == 'd' then
    if redis.call('GET', KEYS[k]) == ARGV[p + 2] then
      redis.call('DEL', KEYS[k])
    end
  elseif what == 'b' then
    for i = p + 2, p + 1 + n do
      redis.call('SETBIT', KEYS[k], ARGV[i], 1)
    end
  elseif what == 's' then
    redis.call('SET', KEYS[k], ARGV[p + 2])
  else
    -- unpack has its limit, so large groups come in several keys.
    changed = changed + redis.call(command[what], KEYS[k], unpack(ARGV, p + 2, p + 1 + n))
  end
  p = p + 2 + n
end
return changed
