#!lua flags=allow-oom
-- expire_parcels: walks one index of a channel and ends deliveries that will never be claimed: those of orders
-- cancelled or past not_after, also on channels without a courier. In a ready index it ends pending deliveries; in
-- the unresolved index it holds deliveries past not_after. A score later than the end of its order, at which no
-- courier would ever claim it, becomes now.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 ready:{p}:<channel>:<priority> or unresolved:{p}:<channel>
-- KEYS 4 unresolved:{p}:<channel>
-- KEYS 5 parked:{p}:<channel>
-- KEYS 6 crashes:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 ready or unresolved
-- ARGV 5 rank to go on from
-- ARGV 6 members at most
-- REPLY ok rank to go on from (-1: at the end), parcels closed, lost
-- REPLY wrong_epoch another database
-- BOUND 200 members, 4,000 deliveries
-- uses: binary prologue bell ready reason order deliveries single_delivery lease park unlease
local channel, what = ARGV[3], ARGV[4]
local from, limit = tonumber(ARGV[5]), tonumber(ARGV[6])
local members = redis.call('ZRANGE', KEYS[3], from, from + limit - 1, 'WITHSCORES')
redis.call('ZCARD', KEYS[4])
redis.call('ZCARD', KEYS[5])
local any_crash = redis.call('HLEN', KEYS[6]) > 0
local out, early = {}, {}
local closed, lost, kept, deliveries, looked = 0, 0, 0, 0, 0

local function hold_unresolved(parcel)
  for i = 0, parcel.deliveries - 1 do
    local delivery = delivery_at(parcel, i)
    local s, q, flags = byte(delivery, 1, 3)
    if s == DELIVERY_VERSION + UNRESOLVED then
      put_delivery(parcel, i, UNRESOLVED, UNKNOWN, q, flags, p16(R_NOT_RETRIED) .. sub(delivery, 6, 12))
    end
  end
end

-- An order of one delivery and nothing else: `closed`, or `kept` until its time; nil leaves it to the general path.
local EXPIRED_NOW, CANCELLED_NOW = p16(R_EXPIRED), p16(R_CANCELLED)
local function close_single(member)
  local order_id = sub(member, 1, -3)
  local r = readable(redis.pcall('HMGET', HISTORY .. order_id, 'h', 'o', 'v', 'x', 'f'))
  if not r or orders[order_id] or r[5] or not plain_head(r[1]) or not is_single(r[1], channel) then
    return nil
  end
  local not_after = u48(r[1], 17)
  if not r[4] and now < not_after then
    return 'kept', not_after
  end
  local o = ended_single(r[1], r[2], r[4] and CANCELLED or EXPIRED, r[4] and CANCELLED_NOW or EXPIRED_NOW)
  if not o then
    return nil
  end
  put_single(order_id, o, r[3], true)
  return 'closed'
end

-- A kept member whose score is invalid or later than its end gets the score now.
local function keep(member, score, not_after)
  kept = kept + 1
  if not score or score > not_after + DAY then
    early[#early + 1] = now_text
    early[#early + 1] = member
  end
end

local function close_member(member, score)
  local order_id, n = split_member(member)
  local order, code, parcel, why
  if order_id then
    order, code, why = find_order(order_id, channel)
  end
  local over = order and (now >= order.not_after or (order.cancelled and what == 'ready'))
  if over then
    parcel, code, why = find_parcel(order, n)
  end
  if parcel then
    deliveries = deliveries + parcel.deliveries
    if what == 'ready' then
      end_pending(parcel, order.cancelled and CANCELLED or EXPIRED, order.cancelled and R_CANCELLED or R_EXPIRED)
    else
      hold_unresolved(parcel)
    end
    closed = closed + 1
    out[#out + 1] = member
  elseif order and not over then
    keep(member, score, order.not_after)
  elseif code == 'newer_version' then
    kept = kept + 1
  else
    lost = lost + 1
    out[#out + 1] = member
    if code == 'unreadable' then
      park(channel, member, why)
    end
  end
end

for p = 1, #members, 2 do
  if deliveries >= 4000 then
    break
  end
  looked = looked + 1
  local member, score = members[p], tonumber(members[p + 1])
  local single, not_after
  if what == 'ready' and sub(member, -2) == ':0' then
    single, not_after = close_single(member)
  end
  if single == 'closed' then
    deliveries, closed = deliveries + 1, closed + 1
    out[#out + 1] = member
  elseif single then
    keep(member, score, not_after)
  else
    close_member(member, score)
  end
end
write_parcels()
write_orders()
write_singles()
if #out > 0 then
  redis.call('ZREM', KEYS[3], unpack(out))
end
if any_crash and #out > 0 then
  redis.call('HDEL', KEYS[6], unpack(out))
end
if #early > 0 then
  redis.call('ZADD', KEYS[3], unpack(early))
end
write_parked()
return answer('ok', looked < limit and looked * 2 == #members and -1 or from + kept, closed, lost)
