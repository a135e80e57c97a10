-- Ring: moves orders whose time has come from `due` to `ready`, urgent first, at most 500 parcels a call. An entry counts
-- when its score is strictly below `now`; EXISTS on the delivery key makes the server announce `expired`. A key still
-- there and less than 5 ms overdue is left for the next call (a script's expiry clock may lag TIME); an older one was
-- persisted by somebody: it is deleted, and the bell rung in its place.
local RING_PARCELS, RING_LAG = 500, 5
local rung = { parcels = 0, persisted = 0, lost = 0, again = false }

-- Puts the parcels from number `from` on into ready, at most `room`; answers the number of the next one and of all.
local function ring_parcels(suffix, head, from, room)
  local lane = byte(head, 3) == URGENT and 'urgent' or 'bulk'
  local inline = byte(head, 2) == INLINE
  local due = u48(head, 11)
  local at, first, next_parcel = 35, 0, from
  while at <= #head do
    local length = byte(head, at)
    local channel = sub(head, at + 1, at + length)
    local count = inline and 1 or math.ceil(u32(head, at + length + 1) / PARCEL_ROWS)
    while next_parcel < first + count and next_parcel < from + room do
      to_ready(channel, lane, suffix .. ':' .. (next_parcel - first), due)
      next_parcel = next_parcel + 1
    end
    first = first + count
    at = at + length + 5
  end
  return next_parcel, first
end

local function ring_lane(key)
  local room = RING_PARCELS - rung.parcels
  if room <= 0 then
    return
  end
  local due = redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. now, 'WITHSCORES', 'LIMIT', 0, room)
  local out = {}
  for i = 1, #due, 2 do
    local suffix = due[i]
    local delivery = 'delivery:' .. tag .. ':' .. suffix
    local there = redis.call('EXISTS', delivery) == 1
    if there and now - due[i + 1] < RING_LAG then
      rung.again = true
    elseif room > 0 then
      local history = 'history:' .. tag .. ':' .. suffix
      local r = redis.pcall('HMGET', history, 'h', 'g')
      local head = not r.err and r[1]
      if not head or #head < 34 then
        rung.lost = rung.lost + 1
        out[#out + 1] = suffix
      elseif byte(head, 1) ~= HEAD_VERSION then
        redis.call('ZADD', key, now + 60000, suffix)
      else
        if there then
          redis.call('DEL', delivery)
          ring_bell('bell:' .. tag)
          rung.persisted = rung.persisted + 1
        end
        local from = tonumber(r[2]) or 0
        local next_parcel, all = ring_parcels(suffix, head, from, room)
        rung.parcels = rung.parcels + next_parcel - from
        room = room - (next_parcel - from)
        if next_parcel >= all then
          out[#out + 1] = suffix
          if r[2] then
            redis.call('HDEL', history, 'g')
          end
        else
          redis.call('HSET', history, 'g', next_parcel)
        end
      end
    end
  end
  if #out > 0 then
    redis.call('ZREM', key, unpack(out))
  end
end

-- KEYS[3] is due:{p}:urgent, KEYS[4] is due:{p}:bulk. The events of the delivery keys wake every courier.
local function ring()
  ring_lane(KEYS[3])
  ring_lane(KEYS[4])
  write_ready(true)
end
