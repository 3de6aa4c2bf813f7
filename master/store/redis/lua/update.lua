-- Applies one Change to a task that exists.
--
-- KEYS  1 fence, 2 task, 3 events, then a key for each node of the Change
-- ARGV  1 fence, 2 base revision (0: any), 3 id of the Change, 4 epoch, 5 cap of the history,
--       6 '1': answer what the indexes were made of before, 7 number of nodes that there are at least,
--       8 number of values of the header, 9 number of history entries, then the header's fields and values, the entries
--       (Seq, body), and for each node its fields
--
-- Answers the new revision (with 6: an array of it and of plan, status, submitted, expires, labels and request as they
-- were), or the negative revision if this very Change is the last that was applied, or an array:
--   {'notfound'}, {'conflict', revision, id of the last Change}, {'behind', revision}, and those of the fence
local t = redis.call('HMGET', KEYS[2], 'revision', 'batch', 'seq', 'nodes')
local revision = t[1]
if not revision then
  return { 'notfound' }
end
local base = ARGV[2]
if t[2] == ARGV[3] and (base == '0' or tonumber(revision) == tonumber(base) + 1) then
  return -tonumber(revision)
end
if base ~= '0' and base ~= revision then
  if tonumber(revision) < tonumber(base) then
    return { 'behind', revision }
  end
  return { 'conflict', revision, t[2] }
end

local old
if ARGV[6] == '1' then
  old = redis.call('HMGET', KEYS[2], 'plan', 'status', 'submitted', 'expires', 'labels', 'request')
end
revision = tonumber(revision) + 1
local heads, entries = tonumber(ARGV[8]), tonumber(ARGV[9])
local seq, nodes = tonumber(t[3]), t[4]
local last = seq
if entries > 0 then
  last = math.max(seq, tonumber(ARGV[8 + heads + 2 * entries]))
end
if tonumber(ARGV[7]) > tonumber(nodes) then
  nodes = ARGV[7]
end
-- This write comes first: where the server is out of memory, it is refused, and then nothing was written.
if heads > 0 then
  redis.call('HSET', KEYS[2], 'revision', revision, 'batch', ARGV[3], 'epoch', ARGV[4], 'seq', last, 'nodes', nodes,
    unpack(ARGV, 10, 9 + heads))
else
  redis.call('HSET', KEYS[2], 'revision', revision, 'batch', ARGV[3], 'epoch', ARGV[4], 'seq', last, 'nodes', nodes)
end
write_events(KEYS[3], ARGV[5], seq, entries, 10 + heads)
write_nodes(4, 10 + heads + 2 * entries)
if old then
  return { revision, unpack(old, 1, 6) }
end
return revision
