-- Deletes a task.
--
-- KEYS  1 fence, 2 task, 3 plan, 4 events, then a key for each node, unless those are deleted later
-- ARGV  1 fence, 2 what identifies the Create of the task that is meant, 3 '' or a time: only if the task may be deleted then,
--       4 '' or, where the nodes are deleted later, how many there may be, then the statuses that are final
--
-- Answers 0 if there is no such task any more, or an array:
--   {1, plan, status, submitted, expires, labels, request}, {'kept'} if it may not be deleted yet,
--   {'more', nodes} if there are more nodes than that, or than keys, and those of the fence
local t = redis.call('HMGET', KEYS[2], 'creation', 'nodes', 'plan', 'status', 'submitted', 'expires', 'labels', 'request')
if t[1] ~= ARGV[2] then
  return 0
end
if ARGV[3] ~= '' then
  local final = false
  for i = 5, #ARGV do
    final = final or ARGV[i] == t[4]
  end
  local expires = tonumber(t[6])
  if not final or expires == 0 or expires > tonumber(ARGV[3]) then
    return { 'kept' }
  end
end
local known = #KEYS - 4
if ARGV[4] ~= '' then
  known = tonumber(ARGV[4])
end
if tonumber(t[2]) > known then
  return { 'more', t[2] }
end
redis.call('UNLINK', unpack(KEYS, 2))
return { 1, unpack(t, 3, 8) }
