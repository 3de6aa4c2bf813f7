-- Deletes a part of the nodes of a task that is gone. A task that is there keeps its own.
--
-- KEYS  1 fence, 2 task, then a key for each node
-- ARGV  1 fence
--
-- Answers 1, or 0 if the task is there, or an array of the fence.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
redis.call('UNLINK', unpack(KEYS, 3))
return 1
