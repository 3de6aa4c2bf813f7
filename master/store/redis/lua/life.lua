-- This part stands before scripts that decide who leads.
--
-- KEYS[1]  meta, with: run, the server's process; before, that before it in which anybody led or wrote; settled, a time in ms
--
-- life notices that the server is another process than it was, or another server. It may then have forgotten its last second: what
-- was written, a lease that was taken, an epoch. For as long as a lease lasts nobody gets one then and nothing new is written, so that
-- every lease that was forgotten has run out, and whoever led has time to put back what he knows.
local function process()
  return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
end

local function life(now, length)
  local run = process()
  local meta = redis.call('HMGET', KEYS[1], 'run', 'before', 'settled')
  local settled = tonumber(meta[3] or '0')
  if not meta[1] then
    redis.call('HSET', KEYS[1], 'run', run)
  elseif meta[1] ~= run then
    -- A life that was over before it was settled does not count: nothing happened in it.
    if settled <= now then
      meta[2] = meta[1]
    end
    settled = now + length
    redis.call('HSET', KEYS[1], 'run', run, 'before', meta[2], 'settled', string.format('%.0f', settled))
  end
  return run, meta[2] or '', settled
end

-- unsettled says whether that time is not over, or has not been noticed to begin. Where there are no leases, there is no such time.
local function unsettled(now)
  local meta = redis.call('HMGET', KEYS[1], 'run', 'settled')
  return meta[1] and (meta[1] ~= process() or now < tonumber(meta[2] or '0'))
end

local function milliseconds()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
