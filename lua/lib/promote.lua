-- Promotes orders whose time has come from `due` to `ready`, urgent first, at most 500 parcels per call. An entry is
-- due when its score is strictly below `now`; EXISTS on the delivery key makes the server publish `expired`. A key
-- that still exists and is less than 5 ms overdue is left for the next call (a script's expiry clock may lag TIME).
-- An older one was made persistent by another program: it is deleted, and the partition's bell rings instead.
local PROMOTED_PARCELS, PROMOTION_LAG = 500, 5
local DELIVERY = 'delivery:' .. tag .. ':'
local promoted = { parcels = 0, persisted = 0, lost = 0, again = false, newer = {} }
local promotion_writes = {}

local function promotion_write(...)
  promotion_writes[#promotion_writes + 1] = { ... }
end

-- Can parcels be put into this index? If another program made the key another type, other channels must not wait for
-- it.
local function is_index(key)
  if waiting[key] then
    return true
  end
  local kind = redis.call('TYPE', key).ok
  return kind == 'zset' or kind == 'none'
end

-- Moves the parcels from number `from` on into ready, at most `room` of them. Returns the number of the next one and
-- the total; nil when the head can't be read, false when they can't be moved now.
local function promote_parcels(order_id, head, from, room)
  if byte(head, 2) == INLINE and room > 0 then
    local channel = sub(head, 36, 35 + (byte(head, 35) or 0))
    local deliveries = #head == 39 + #channel and is_channel(channel) and u32(head, #head - 3) or 0
    if deliveries > 0 and deliveries <= PARCEL_DELIVERIES then
      local priority = byte(head, 3) == URGENT and 'urgent' or 'bulk'
      if not is_index(ready_key(channel, priority)) then
        return false
      end
      to_ready(channel, priority, order_id .. ':0', u48(head, 11))
      return 1, 1
    end
  end
  local names, deliveries = channels_of(head, 35)
  if not names then
    return nil
  end
  local priority = byte(head, 3) == URGENT and 'urgent' or 'bulk'
  local inline = byte(head, 2) == INLINE
  local due = u48(head, 11)
  local first, next_parcel = 0, from
  for i = 1, #names do
    if not is_index(ready_key(names[i], priority)) then
      return false
    end
  end
  for i = 1, #names do
    local count = parcels_of(deliveries[i], inline)
    while next_parcel < first + count and next_parcel < from + room do
      to_ready(names[i], priority, order_id .. ':' .. (next_parcel - first), due)
      next_parcel = next_parcel + 1
    end
    first = first + count
  end
  return next_parcel, first
end

local function promote_priority(key)
  local room = PROMOTED_PARCELS - promoted.parcels
  if room <= 0 then
    return
  end
  local due = redis.call('ZRANGEBYSCORE', key, '-inf', '(' .. now_text, 'WITHSCORES', 'LIMIT', 0, room)
  local out = {}
  for i = 1, #due, 2 do
    local order_id = due[i]
    local delivery = DELIVERY .. order_id
    local there = redis.call('EXISTS', delivery) == 1
    if there and now - due[i + 1] < PROMOTION_LAG then
      promoted.again = true
    elseif room > 0 then
      local history = HISTORY .. order_id
      local r = readable(redis.pcall('HMGET', history, 'h', 'g'))
      local head = r and r[1]
      local err = head and head_error(head)
      local from, next_parcel, all = math.max(0, r and tonumber(r[2]) or 0), nil, nil
      if head and not err then
        next_parcel, all = promote_parcels(order_id, head, from, room)
      end
      if err == 'newer_version' or next_parcel == false then
        promotion_write('ZADD', key, int(now + NEWER_WAIT), order_id)
        promoted.newer[#promoted.newer + 1] = err and order_id or nil
      elseif not next_parcel then
        -- Dropped when the record is gone or the name is not an order id. A record that exists but can't be read is
        -- kept for an operator.
        if (r and not head and redis.call('EXISTS', history) == 0) or not string.find(order_id, '^[%w_-]+:%d+$') then
          promoted.lost = promoted.lost + 1
        else
          park(nil, order_id, r and 'head' or 'type')
        end
        out[#out + 1] = order_id
      else
        if there then
          promotion_write('DEL', delivery)
          promoted.persisted = promoted.persisted + 1
        end
        promoted.parcels = promoted.parcels + next_parcel - from
        room = room - (next_parcel - from)
        if next_parcel < all then
          promotion_write('HSET', history, 'g', next_parcel)
        else
          out[#out + 1] = order_id
          if r[2] then
            promotion_write('HDEL', history, 'g')
          end
        end
      end
    end
  end
  if #out > 0 then
    promotion_write('ZREM', key, unpack(out))
  end
end

-- When to promote again, after promote(): a key left behind is to be checked in a millisecond, not at once.
local function next_due()
  if promoted.again and promoted.parcels < PROMOTED_PARCELS then
    return now + 1
  end
  return earliest(KEYS[3], KEYS[4])
end

-- KEYS[3] is due:{p}:urgent, KEYS[4] is due:{p}:bulk. The events of the delivery keys wake every courier.
local function promote()
  promote_priority(KEYS[3])
  promote_priority(KEYS[4])
  write_ready(true)
  write_parked()
  for i = 1, #promotion_writes do
    redis.call(unpack(promotion_writes[i]))
  end
  if promoted.persisted > 0 then
    ring_bell('bell:' .. tag)
  end
end
