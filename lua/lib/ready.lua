-- Parcels on their way into ready:{p}:<channel>:<priority>, written together at the end of a script.
local waiting = {}

local function ready_key(channel, priority)
  return 'ready:' .. tag .. ':' .. channel .. ':' .. priority
end

local function to_ready(channel, priority, member, at)
  local key = ready_key(channel, priority)
  local list = waiting[key]
  if not list then
    redis.call('ZCARD', key) -- a key of another type stops the script here, before it writes
    list = { first = at }
    waiting[key] = list
    waiting[#waiting + 1] = key
  end
  if at < list.first then
    list.first = at
  end
  list[#list + 1] = int(at)
  list[#list + 1] = member
end

-- At most 2,000 values per call. Rings the bell when a parcel was put before the former head, unless the caller has
-- rung it.
local function write_ready(bell_written)
  for w = 1, #waiting do
    local key = waiting[w]
    local list = waiting[key]
    if not bell_written then
      local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
      if not head[1] or list.first < tonumber(head[2]) then
        ring_bell('bell:' .. tag)
        bell_written = true
      end
    end
    for from = 1, #list, 1000 do
      redis.call('ZADD', key, unpack(list, from, math.min(from + 999, #list)))
    end
  end
  waiting = {}
end
