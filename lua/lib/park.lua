-- Records that can't be read are parked, out of the way of the others, until an operator releases or fails them.
-- `parked:{p}:<channel>` holds parcels, `parked:{p}` orders that can't be rung, both with the ms since when; `parked_why:{p}`
-- tells why, under `<channel>:<parcel>`, or the suffix of the order: type (a key of another type), head, counters, member (no
-- such parcel), outcomes, content, rows.
local PARKED, PARKED_WHY = 'parked:' .. tag, 'parked_why:' .. tag
local park_lists, park_keys, park_reasons, why_usable = {}, {}, {}, nil

-- Puts a parcel down to be parked, or an order when no channel is given. Before the first write.
local function park(channel, name, why)
  local key = channel and PARKED .. ':' .. channel or PARKED
  local list = park_lists[key]
  if not list then
    redis.call('ZCARD', key) -- stops a script before it writes when somebody made another type of it
    if why_usable == nil then
      why_usable = readable(redis.pcall('HGET', PARKED_WHY, '')) ~= nil
    end
    list = {}
    park_lists[key] = list
    park_keys[#park_keys + 1] = key
  end
  list[#list + 1] = now_text
  list[#list + 1] = name
  park_reasons[#park_reasons + 1] = channel and channel .. ':' .. name or name
  park_reasons[#park_reasons + 1] = why
end

local function write_parked()
  for i = 1, #park_keys do
    redis.call('ZADD', park_keys[i], unpack(park_lists[park_keys[i]]))
  end
  park_lists, park_keys = {}, {}
  if #park_reasons > 0 and why_usable then
    redis.call('HSET', PARKED_WHY, unpack(park_reasons))
    park_reasons = {}
  end
end
