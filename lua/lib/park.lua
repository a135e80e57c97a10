-- Records that can't be read are parked, so that they don't block the others, until an operator releases or fails
-- them. `parked:{p}:<channel>` holds parcels, `parked:{p}` holds orders that can't be promoted, both scored by the ms
-- they were parked at. `parked_why:{p}` holds the reason, under `<channel>:<parcel>` or the order id: type (a key of
-- another type), head, counters, member (no such parcel), outcomes, content, deliveries.
local PARKED, PARKED_WHY = 'parked:' .. tag, 'parked_why:' .. tag
local park_lists, park_keys, park_reasons, why_usable = {}, {}, {}, nil

-- Collects a parcel to be parked, or an order when no channel is given. Call before the first write.
local function park(channel, name, why)
  local key = channel and PARKED .. ':' .. channel or PARKED
  local list = park_lists[key]
  if not list then
    redis.call('ZCARD', key) -- a key of another type stops the script here, before it writes
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
