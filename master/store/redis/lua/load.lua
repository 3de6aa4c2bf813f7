-- Reads a task whole, in one piece, for when it changes faster than it can be read in several.
--
-- KEYS  1 task, 2 plan, then a key for each node
-- ARGV  1 number of fields of the task, then the fields, then those of a node
--
-- Answers false if there is no such task, or an array of the task's values, the plan, and those of each node.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return false
end
local n = tonumber(ARGV[1])
local all = redis.call('HMGET', KEYS[1], unpack(ARGV, 2, 1 + n))
all[#all + 1] = redis.call('GET', KEYS[2])
for k = 3, #KEYS do
  for _, value in ipairs(redis.call('HMGET', KEYS[k], unpack(ARGV, 2 + n))) do
    all[#all + 1] = value
  end
end
return all
