-- Notes how far the leader has come: what it wrote before is there as long as this is.
--
-- KEYS  1 fence, 2 mark
-- ARGV  1 fence, 2 the mark before, or '' for whatever it was, 3 the new one
--
-- Answers 1, or an array: {'behind', mark} if the one before is not there any more, and those of the fence.
if ARGV[2] ~= '' then
  local mark = redis.call('GET', KEYS[2])
  if mark ~= ARGV[2] and mark ~= ARGV[3] then
    return { 'behind', mark or '' }
  end
end
redis.call('SET', KEYS[2], ARGV[3])
return 1
