-- Raises a fence, never lowers it.
--
-- KEYS  1 fence
-- ARGV  1 the fence that it shall be
--
-- Answers 1, or the fence if that is higher.
local fence = redis.call('GET', KEYS[1])
if fence then
  local fe, fs = string.match(fence, '^(%d+)%.(%d+)$')
  local oe, os = string.match(ARGV[1], '^(%d+)%.(%d+)$')
  fe, fs, oe, os = tonumber(fe), tonumber(fs), tonumber(oe), tonumber(os)
  if fe and (fe > oe or fe == oe and fs > os) then
    return fence
  end
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
