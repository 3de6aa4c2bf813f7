-- This part stands before every script that writes for a leader.
--
-- KEYS[1]  the fence of the slot: "<epoch>.<session>"
-- ARGV[1]  the writer's own, in the same form
--
-- The epoch tells leaders apart. The session grows when a leader does not know what became of something that it sent: whatever
-- of it is still under way comes too late then. What does not fit is answered with a word and the fence, and writes nothing:
--   fenced  the epoch is over
--   late    the epoch is the same, the session is over
--   lost    the fence is lower than the writer's, or missing: the server has lost it
local function refusal(fence, own)
  if not fence then
    return { 'lost', '' }
  end
  local fe, fs = string.match(fence, '^(%d+)%.(%d+)$')
  local oe, os = string.match(own, '^(%d+)%.(%d+)$')
  fe, fs, oe, os = tonumber(fe), tonumber(fs), tonumber(oe), tonumber(os)
  if not fe or fe > oe then
    return { 'fenced', fence }
  elseif fe == oe and fs > os then
    return { 'late', fence }
  end
  return { 'lost', fence }
end
local fence = redis.call('GET', KEYS[1])
if fence ~= ARGV[1] then
  return refusal(fence, ARGV[1])
end
