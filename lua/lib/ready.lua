-- Parcels on their way into ready:{p}:<channel>:<lane>, written together at the end of a script.
local waiting = {}

local function ready_key(channel, lane)
  return 'ready:' .. tag .. ':' .. channel .. ':' .. lane
end

local function to_ready(channel, lane, member, at)
  local key = ready_key(channel, lane)
  local list = waiting[key]
  if not list then
    redis.call('ZCARD', key) -- stops a script before it writes when somebody made another type of it
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

-- At most 2,000 values in a call. Rings the bell when a parcel came before the former head, unless the caller has rung.
local function write_ready(rung)
  for w = 1, #waiting do
    local key = waiting[w]
    local list = waiting[key]
    if not rung then
      local head = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
      if not head[1] or list.first < tonumber(head[2]) then
        ring_bell('bell:' .. tag)
        rung = true
      end
    end
    for from = 1, #list, 1000 do
      redis.call('ZADD', key, unpack(list, from, math.min(from + 999, #list)))
    end
  end
  waiting = {}
end
