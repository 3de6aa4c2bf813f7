-- Says whether who led may put back what the server has forgotten.
--
-- KEYS  1 meta
-- ARGV  1 length of a lease in ms
--
-- Answers an array: {the server's process, that before it, ms until new things may be written}.
local now = milliseconds()
local run, before, settled = life(now, tonumber(ARGV[1]))
return { run, before, math.max(0, settled - now) }
