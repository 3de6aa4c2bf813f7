-- This part stands before the scripts that write nodes.
--
-- write_nodes writes the hashes of nodes: KEYS from k on, ARGV from p on. For each key: the fields by their letters (i id,
-- u status, p spec, s state), then their values in that order.
local field = { i = 'id', u = 'status', p = 'spec', s = 'state' }
local function write_nodes(k, p)
  for key = k, #KEYS do
    local letters = ARGV[p]
    if letters == 'us' then
      redis.call('HSET', KEYS[key], 'status', ARGV[p + 1], 'state', ARGV[p + 2])
      p = p + 3
    else
      local args = {}
      for i = 1, #letters do
        args[2 * i - 1] = field[string.sub(letters, i, i)]
        args[2 * i] = ARGV[p + i]
      end
      redis.call('HSET', KEYS[key], unpack(args))
      p = p + 1 + #letters
    end
  end
end

-- write_events appends n entries to a history: pairs of Seq and body, ARGV from p on. Those up to last are there already. cap
-- is how many are kept, about; '' keeps all.
local function write_events(key, cap, last, n, p)
  for i = p, p + 2 * n - 1, 2 do
    if tonumber(ARGV[i]) > last then
      if cap == '' then
        redis.call('XADD', key, ARGV[i] .. '-0', 'event', ARGV[i + 1])
      else
        redis.call('XADD', key, 'MAXLEN', '~', cap, ARGV[i] .. '-0', 'event', ARGV[i + 1])
      end
    end
  end
end
