-- Makes a task.
--
-- KEYS  1 fence, 2 task, 3 plan, 4 events, then a key for each node, unless those were written before
-- ARGV  1 fence, 2 what identifies the Create, 3 id of the Change, 4 epoch, 5 cap of the history, 6 number of nodes, 7 source,
--       8 number of values of the header, 9 number of history entries, then the header's fields and values, the entries
--       (Seq, body), and for each node its fields
--
-- Answers 1, the revision, or the negative revision if this very Create made the task that is there, or an array:
--   {'exists'}, and those of the fence
local t = redis.call('HMGET', KEYS[2], 'creation', 'revision')
if t[1] == ARGV[2] then
  return -tonumber(t[2])
elseif t[1] or redis.call('EXISTS', KEYS[2]) == 1 then
  return { 'exists' }
end
local heads, entries = tonumber(ARGV[8]), tonumber(ARGV[9])
local last = 0
if entries > 0 then
  last = ARGV[8 + heads + 2 * entries]
end
-- This write comes first: where the server is out of memory, it is refused, and then nothing was written.
redis.call('HSET', KEYS[2], 'revision', 1, 'batch', ARGV[3], 'epoch', ARGV[4], 'seq', last, 'nodes', ARGV[6],
  'creation', ARGV[2], unpack(ARGV, 10, 9 + heads))
redis.call('SET', KEYS[3], ARGV[7])
redis.call('DEL', KEYS[4])
write_events(KEYS[4], ARGV[5], 0, entries, 10 + heads)
write_nodes(5, 10 + heads + 2 * entries)
return 1
