-- Gives the lease up, if the member has it, and forgets the member.
--
-- KEYS  1 lease, 2 members
-- ARGV  1 id, 2 channel of turns
--
-- Answers 1 if it had the lease, else 0.
redis.call('HDEL', KEYS[2], ARGV[1])
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
redis.call('PUBLISH', ARGV[2], '')
return 1
