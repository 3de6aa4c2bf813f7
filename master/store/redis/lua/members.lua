-- Reads who is there.
--
-- KEYS  1 meta, 2 lease, 3 members
--
-- Answers an array: {time in ms, id of who has the lease, id of who led last, epoch, then for each member its id and what
-- is noted of it}.
local time = redis.call('TIME')
local lead = redis.call('HMGET', KEYS[1], 'leader', 'epoch')
local all = { tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000),
  redis.call('HGET', KEYS[2], 'id'), lead[1], lead[2] }
for _, text in ipairs(redis.call('HGETALL', KEYS[3])) do
  all[#all + 1] = text
end
return all
