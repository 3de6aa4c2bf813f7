-- Writes a part of the nodes of a large task that is about to be made. Once the task is there, this comes too late.
--
-- KEYS  1 fence, 2 task, then a key for each node
-- ARGV  1 fence, then for each node its fields
--
-- Answers 1, or 0 if the task is there, or an array of the fence.
if redis.call('EXISTS', KEYS[2]) == 1 then
  return 0
end
write_nodes(3, 2)
return 1
