#!lua flags=allow-oom
-- fail_parcel: ends the deliveries of a parked parcel, at an operator's request. If its deliveries can be read,
-- pending ones fail, and those that may have been sent become unknown. If they can't, all of them become unknown, and
-- the counters of the order are recounted.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 leased:{p}:<channel>
-- KEYS 4 lease:{p}:<channel>
-- KEYS 5 unresolved:{p}:<channel>
-- KEYS 6 parked:{p}:<channel>
-- KEYS 7 parked_why:{p}
-- KEYS 8 crashes:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 member
-- REPLY ok deliveries ended
-- REPLY not_parked it is not parked
-- REPLY leased a courier holds it
-- REPLY newer_version a record of a later version: a newer program can read it
-- REPLY whole_order_only its order can't be read, or has too many parcels to be counted anew: only the whole order can be ended
-- REPLY wrong_epoch another database
-- BOUND one parcel; 400 parcels of 500 deliveries are counted when its deliveries can't be read
-- uses: binary prologue bell ready reason order deliveries lease unlease
local channel, member = ARGV[3], ARGV[4]
local MOST_COUNTED = 400
if not redis.call('ZSCORE', KEYS[6], member) then
  return answer('not_parked')
end
if redis.call('ZSCORE', KEYS[3], member) or redis.call('HEXISTS', KEYS[4], member) == 1 then
  return answer('leased')
end
redis.call('ZCARD', KEYS[5])
redis.call('HLEN', KEYS[7])
redis.call('HLEN', KEYS[8])
local order_id, n = split_member(member)
local order, parcel, err
if order_id then
  order, err = find_order(order_id, channel)
end
if err == 'newer_version' then
  return answer('newer_version')
elseif not order or parcel_deliveries(order, n) <= 0 then
  return answer('whole_order_only')
end
parcel, err = find_parcel(order, n)
if parcel then
  err = deliveries_error(parcel)
end
if err == 'newer_version' then
  return answer('newer_version')
elseif err and parcel then
  order.parcels[n] = nil
  parcel = nil
end
local ended

if parcel then
  ended = parcel.pending + parcel.sending + parcel.unresolved
  end_pending(parcel, FAILED, R_RECORD_UNREADABLE)
  for i = 0, parcel.deliveries - 1 do
    local delivery = delivery_at(parcel, i)
    local s, q, flags = byte(delivery, 1, 3)
    if s == DELIVERY_VERSION + SENDING or s == DELIVERY_VERSION + UNRESOLVED then
      put_delivery(parcel, i, s - DELIVERY_VERSION, UNKNOWN, q, flags, p16(R_RECORD_UNREADABLE) .. sub(delivery, 6, 12))
    end
  end
else
  ended = parcel_deliveries(order, n)
  local unknown = char(DELIVERY_VERSION + UNKNOWN, 0, 0) .. p16(R_RECORD_UNREADABLE) .. since_due(order) .. '\0\0\0\0'
  local made = { order = order, n = n, deliveries = ended, set = {}, list = {}, fresh = true, touched = true }
  for i = 0, ended - 1 do
    made.set[i] = unknown
  end
  made.pending, made.sending, made.unresolved = 0, 0, 0
  made.key = 'outcome:' .. tag .. ':' .. order_id .. ':' .. channel .. ':' .. n
  if not order.inline then
    local parcels = parcels_of(order.deliveries, false)
    if parcels > MOST_COUNTED then
      return answer('whole_order_only')
    end
    local found = { [UNKNOWN] = ended }
    for other = 0, parcels - 1 do
      local counted, unreadable
      if other ~= n then
        counted, unreadable = find_parcel(order, other)
      end
      if unreadable == 'newer_version' then
        return answer('newer_version')
      elseif counted then
        for i = 0, counted.deliveries - 1 do
          local state = byte(counted.o, 7 + 12 * i) - DELIVERY_VERSION
          if state >= DELIVERY_VERSION then
            return answer('newer_version')
          end
          found[state] = (found[state] or 0) + 1
        end
      elseif other ~= n then
        -- Another unreadable parcel counts as open until it is ended too.
        found[PENDING] = (found[PENDING] or 0) + parcel_deliveries(order, other)
      end
    end
    order.delta = {}
    for state = PENDING, UNRESOLVED do
      order.delta[state] = (found[state] or 0) - u32(order.c, state * 4 + 1)
    end
  end
  touched_parcels[#touched_parcels + 1] = made
  touch_order(order)
end
leave_mark()
out_of_ready({ order = order }, member)
out_of_unresolved(member)
write_parcels()
write_orders()
write_leaving(KEYS[3], KEYS[4], KEYS[5])
redis.call('ZREM', KEYS[6], member)
redis.call('HDEL', KEYS[7], channel .. ':' .. member)
redis.call('HDEL', KEYS[8], member)
return answer('ok', ended)
