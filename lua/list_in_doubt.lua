#!lua flags=allow-oom
-- list_in_doubt: walks an index of a channel after the database went back, and returns the parcels whose deliveries
-- may have been begun in the lost period: leased, unresolved, ready by the time of the halt, or parked, because an
-- operator may have released them in that period. With ARGV 7 set, it ends them: deliveries that are sending,
-- unresolved, or pending without a wait beyond that time become unknown and are not sent again. A pending delivery
-- counts the attempt that may have been made, so that a report of it is still accepted. A parked parcel with no open
-- delivery left is unparked.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 leased:{p}:<channel>, unresolved:{p}:<channel>, ready:{p}:<channel>:<priority> or parked:{p}:<channel>
-- KEYS 4 leased:{p}:<channel>
-- KEYS 5 lease:{p}:<channel>
-- KEYS 6 unresolved:{p}:<channel>
-- KEYS 7 crashes:{p}:<channel>
-- KEYS 8 parked:{p}:<channel>
-- KEYS 9 parked_why:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 lowest score in ms
-- ARGV 5 highest score in ms, or +inf
-- ARGV 6 moment of the halt in ms
-- ARGV 7 1 to end the deliveries, 0 to name them
-- ARGV 8 rank to go on from
-- ARGV 9 members at most
-- REPLY ok rank to go on from (-1: at the end), per parcel: member, deliveries in doubt
-- REPLY wrong_epoch another database
-- BOUND 100 members, 4,000 deliveries
-- uses: binary prologue bell ready reason order deliveries lease unlease
local channel, halted, ends = ARGV[3], tonumber(ARGV[6]), ARGV[7] == '1'
local from, limit = tonumber(ARGV[8]), tonumber(ARGV[9])
local members = redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[4], ARGV[5], 'LIMIT', from, limit)
redis.call('ZCARD', KEYS[4])
redis.call('HLEN', KEYS[5])
redis.call('ZCARD', KEYS[6])
local why_usable = readable(redis.pcall('HGET', KEYS[9], '')) ~= nil
local any_crash = redis.call('HLEN', KEYS[7]) > 0
local leases = #members > 0 and redis.call('HMGET', KEYS[5], unpack(members)) or {}

-- The number of deliveries in doubt; also ends them if requested.
local function doubt(parcel)
  local count = 0
  for i = 0, parcel.deliveries - 1 do
    local delivery = delivery_at(parcel, i)
    local s, q, flags = byte(delivery, 1, 3)
    local state = s - DELIVERY_VERSION
    if state == SENDING or state == UNRESOLVED then
      count = count + 1
      if ends then
        put_delivery(parcel, i, state, UNKNOWN, q, flags, p16(R_DATABASE_WENT_BACK) .. sub(delivery, 6, 12))
      end
    elseif state == PENDING and not parcel.order.cancelled and wait_of(parcel.order, delivery) <= halted then
      count = count + 1
      if ends then
        put_delivery(parcel, i, PENDING, UNKNOWN, (q + 1) % 256, flags % TOKEN,
          p16(R_DATABASE_WENT_BACK) .. since_due(parcel.order) .. '\0\0\0\0')
      end
    end
  end
  return count
end

local found, done, unparked, reasons = {}, {}, {}, {}
local looked, kept, deliveries = 0, 0, 0
for p = 1, #members do
  if deliveries >= 4000 then
    break
  end
  looked = looked + 1
  local member = members[p]
  local order_id, n = split_member(member)
  local order, parcel
  if order_id then
    order = find_order(order_id, channel)
  end
  if order then
    parcel = find_parcel(order, n)
  end
  local stays = true
  if parcel then
    deliveries = deliveries + parcel.deliveries
    local unresolved = parcel.unresolved
    local count = doubt(parcel)
    if count > 0 then
      found[#found + 1] = { member, count }
    end
    if ends then
      if parcel.unresolved ~= unresolved then
        index_unresolved(parcel, member)
      end
      if leases[p] then
        end_lease(parcel, member)
      elseif parcel.pending == 0 then
        out_of_ready(parcel, member)
      end
      if KEYS[3] == KEYS[8] then
        stays = not is_done(parcel)
        if not stays then
          unparked[#unparked + 1] = member
          reasons[#reasons + 1] = channel .. ':' .. member
        end
      elseif KEYS[3] == KEYS[4] then
        stays = not leases[p]
      elseif KEYS[3] == KEYS[6] then
        stays = unresolved == 0
      else
        stays = parcel.pending > 0
      end
      if is_done(parcel) then
        done[#done + 1] = member
      end
    end
  end
  if stays then
    kept = kept + 1
  end
end
write_parcels()
write_orders()
write_leaving(KEYS[4], KEYS[5], KEYS[6])
write_ready(false)
if #unparked > 0 then
  redis.call('ZREM', KEYS[8], unpack(unparked))
  if why_usable then
    redis.call('HDEL', KEYS[9], unpack(reasons))
  end
end
if any_crash and #done > 0 then
  redis.call('HDEL', KEYS[7], unpack(done))
end
return answer('ok', looked < limit and looked == #members and -1 or from + kept, found)
