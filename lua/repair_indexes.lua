#!lua flags=allow-oom
-- repair_indexes: puts parcels of one order and channel back into the index where their record belongs, if the entry
-- was lost: an order not yet due into due, a parcel into ready, unresolved deliveries into unresolved. A score later
-- than the record allows is corrected, a parcel that can't be read is parked, and a parked one is left alone. Finds
-- nothing to do in a sound database.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- KEYS 5 leased:{p}:<channel>
-- KEYS 6 unresolved:{p}:<channel>
-- KEYS 7 parked:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 order id
-- ARGV 5 parcel to start from
-- REPLY ok parcel to go on from (0: at the end), parcels mended (an order not yet due counts as one)
-- REPLY not_found no such order
-- REPLY newer_version a record of a later version
-- REPLY unreadable a record that can't be read
-- REPLY wrong_epoch another database
-- BOUND 100 parcels
-- uses: binary prologue bell ready reason order deliveries lease park unlease
local channel, order_id, from = ARGV[3], ARGV[4], tonumber(ARGV[5])
local order, code = find_order(order_id, channel)
if not order then
  return answer(code)
end
if order.final then
  return answer('ok', 0, 0)
end
redis.call('ZCARD', KEYS[6])
redis.call('ZCARD', KEYS[7])
local priority_key = order.priority == 'urgent' and KEYS[3] or KEYS[4]
local mended = 0
local in_due = redis.call('ZSCORE', priority_key, order_id)
if in_due and is_moment(in_due, math.max(now, order.due) + DAY) then
  return answer('ok', 0, 0)
end
if in_due and now >= order.due then
  redis.call('ZADD', priority_key, order.due, order_id)
  return answer('ok', 0, 1)
end
if now < order.due then
  redis.call('ZADD', priority_key, order.due, order_id)
  redis.call('SET', 'delivery:' .. tag .. ':' .. order_id, 0, 'PXAT', order.due)
  ring_bell('bell:' .. tag)
  return answer('ok', 0, 1)
end
-- Deliveries waiting for their resolver may outlast their order.
local latest = math.max(now, order.not_after) + DAY
local over = {}
local parcels = order.inline and 1 or math.ceil(order.deliveries / PARCEL_DELIVERIES)
local last = math.min(parcels, from + 100) - 1
for n = from, last do
  local member = order_id .. ':' .. n
  local parcel, err, why = find_parcel(order, n)
  local leased = redis.call('ZSCORE', KEYS[5], member)
  local is_parked = redis.call('ZSCORE', KEYS[7], member)
  if err == 'unreadable' and not is_parked and not leased then
    park(channel, member, why)
  end
  if parcel and leased and not is_moment(leased, now + DAY) then
    over[#over + 1] = now_text
    over[#over + 1] = member
    mended = mended + 1
  end
  if parcel and not is_parked then
    local ready = redis.call('ZSCORE', ready_key(channel, order.priority), member)
    local before = mended
    if not leased and parcel.sending > 0 then
      for i = 0, parcel.deliveries - 1 do
        local delivery = delivery_at(parcel, i)
        local s, q, flags = byte(delivery, 1, 3)
        if s == DELIVERY_VERSION + SENDING then
          put_delivery(parcel, i, SENDING, UNRESOLVED, q, flags, p16(R_COURIER_DIED) .. sub(delivery, 6, 12))
        end
      end
      mended = before + 1
    end
    if not leased and parcel.pending > 0 and not (ready and is_moment(ready, latest)) then
      back_to_ready(parcel, member)
      mended = before + 1
    end
    local indexed_at = parcel.unresolved > 0 and redis.call('ZSCORE', KEYS[6], member)
    if parcel.unresolved > 0 and not (indexed_at and is_moment(indexed_at, latest)) then
      if indexed_at then
        ready_out[#ready_out + 1] = { KEYS[6], member }
      end
      index_unresolved(parcel, member)
      mended = before + 1
    end
  end
end
write_parcels()
write_orders()
for i = 1, #ready_out do
  redis.call('ZREM', unpack(ready_out[i]))
end
ready_out = {}
write_leaving(KEYS[5], nil, KEYS[6])
if #over > 0 then
  redis.call('ZADD', KEYS[5], unpack(over))
end
write_parked()
write_ready(false)
return answer('ok', last + 1 < parcels and last + 1 or 0, mended)
