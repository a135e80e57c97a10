#!lua flags=allow-oom
-- reclaim_leases: takes back expired leases. Deliveries not begun are ready again, in their former place; deliveries
-- begun become unresolved, are reported as unknown, and wait for the channel's resolver.
--
-- A courier's death counts against a parcel only when nothing else can explain it. First kind: the courier held only
-- this parcel, and died before its next claim with nothing begun. Second kind: the parcel's deliveries were alone on
-- the wire. Three such deaths in 72 hours without progress make it poison. First kind: the parcel's pending
-- deliveries are given up. Second kind, and the same deliveries each time: those that were on the wire are given up,
-- the resolver then holds them as unknown, and the others continue. Other parcels that were leased, or on the wire
-- among others, get no mark.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 leased:{p}:<channel>
-- KEYS 4 lease:{p}:<channel>
-- KEYS 5 unresolved:{p}:<channel>
-- KEYS 6 crashes:{p}:<channel>
-- KEYS 7 parked:{p}:<channel>
-- KEYS 8 request:{p}:<channel>
-- KEYS 9 couriers:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 leases at most
-- ARGV 5 1 when a lease that is over means a crash, 0 just after the server was away
-- ARGV 6 ms after which a courier not seen is forgotten
-- REPLY ok next lease end ms (0: none), parcels swept, deliveries now unresolved, parcels with poison, lost, couriers forgotten
-- REPLY wrong_epoch another database
-- BOUND 200 leases, 100 couriers
-- uses: binary prologue earliest bell ready reason order deliveries lease park unlease
local channel, limit, blame = ARGV[3], tonumber(ARGV[4]), ARGV[5] == '1'
local CRASHES, CRASH_SPAN = 3, 72 * 3600 * 1000
local members = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, limit)
local leases, marks = {}, {}
if #members > 0 then
  leases = redis.call('HMGET', KEYS[4], unpack(members))
  marks = redis.call('HMGET', KEYS[6], unpack(members))
end
redis.call('ZCARD', KEYS[5])
redis.call('ZCARD', KEYS[7])
redis.call('HLEN', KEYS[8])
local gone_couriers = redis.call('ZRANGEBYSCORE', KEYS[9], '-inf', now - tonumber(ARGV[6]), 'LIMIT', 0, 100)

local crashes, unmarked, out, later = {}, {}, {}, {}
local swept, unresolved, poison, lost = 0, 0, 0, 0

-- Deaths after being claimed, deaths with one delivery alone on the wire, since when they are counted, and which
-- delivery it is.
local function read_mark(mark)
  local taken, since, wire, delivery = string.match(mark or '', '^(%d+) (%d+) ?(%d*) ?(%d*)$')
  since = tonumber(since) or now
  if now - since > CRASH_SPAN then
    return 0, 0, now
  end
  return tonumber(taken) or 0, tonumber(wire) or 0, since, tonumber(delivery)
end

-- The first delivery on the wire.
local function first_sending(parcel)
  for i = 0, parcel.deliveries - 1 do
    if byte(delivery_at(parcel, i)) == DELIVERY_VERSION + SENDING then
      return i
    end
  end
end

-- Was this parcel the only one its courier's last claim took?
local function was_last_taken(holder, courier, member)
  local last = courier and redis.call('HGET', KEYS[8], courier)
  return last and string.match(last, '^%d+ (.*)$') == holder .. ' ' .. member
end

local function sweep_parcel(member, record, mark)
  local order_id, n = split_member(member)
  local order, code, why
  if order_id then
    order, code, why = find_order(order_id, channel)
  end
  local parcel
  if order then
    parcel, code, why = find_parcel(order, n)
  end
  if not parcel then
    if code == 'newer_version' then
      -- Left to a program that can read it, and moved out of the way of the others.
      later[#later + 1] = now + NEWER_WAIT
      later[#later + 1] = member
      return
    end
    lost = lost + 1
    out[#out + 1] = member
    if mark then
      unmarked[#unmarked + 1] = member
    end
    if code == 'unreadable' then
      park(channel, member, why)
    end
    return
  end
  swept = swept + 1
  local holder, begun, alone, send_by, courier
  if record then
    holder, begun, alone, send_by, courier = read_lease(record)
  end
  local was_sending = parcel.sending
  local taken, wire, since, suspect = read_mark(mark)
  local counted, reason = false, p16(R_COURIER_DIED)
  if blame and was_sending > 0 and alone == '1' then
    -- If a different delivery of the parcel is on the wire at each death, they are victims, not the cause.
    local first = first_sending(parcel)
    if first ~= suspect then
      wire, suspect = 0, first
    end
    wire, counted = wire + 1, true
    if wire >= CRASHES then
      reason, wire = p16(R_POISON), 0
      poison = poison + 1
    end
  elseif blame and begun == '0' and parcel.pending > 0 and was_last_taken(holder, courier, member) then
    -- Claimed while the courier held others, it is not to blame, but must be claimed alone next time.
    taken, counted = alone == '1' and taken + 1 or taken, true
    if taken >= CRASHES then
      end_pending(parcel, FAILED, R_POISON)
      taken = 0
      poison = poison + 1
    end
  end
  if was_sending > 0 then
    for i = 0, parcel.deliveries - 1 do
      local delivery = delivery_at(parcel, i)
      local s, q, flags = byte(delivery, 1, 3)
      if s == DELIVERY_VERSION + SENDING then
        put_delivery(parcel, i, SENDING, UNRESOLVED, q, flags, reason .. sub(delivery, 6, 12))
      end
    end
    unresolved = unresolved + was_sending
    index_unresolved(parcel, member, send_by)
    if parcel.sending ~= 0 then
      -- Its counts don't match its deliveries: it would be reclaimed again forever.
      lost = lost + 1
      out[#out + 1] = member
      park(channel, member, 'outcomes')
      return
    end
  end
  if end_lease(parcel, member, nil, true) == 'settled' and parcel.unresolved == 0 then
    if mark then
      unmarked[#unmarked + 1] = member
    end
  elseif counted then
    crashes[#crashes + 1] = member
    crashes[#crashes + 1] = string.format(suspect and '%.0f %.0f %.0f %.0f' or '%.0f %.0f %.0f', taken, since, wire, suspect)
  end
end

for p = 1, #members do
  sweep_parcel(members[p], leases[p], marks[p])
end

write_parcels()
write_orders()
for p = 1, #out do
  unleased_members[#unleased_members + 1] = out[p]
end
write_leaving(KEYS[3], KEYS[4], KEYS[5])
write_ready(false)
if #crashes > 0 then
  redis.call('HSET', KEYS[6], unpack(crashes))
end
if #unmarked > 0 then
  redis.call('HDEL', KEYS[6], unpack(unmarked))
end
if #later > 0 then
  redis.call('ZADD', KEYS[3], unpack(later))
end
write_parked()
if #gone_couriers > 0 then
  redis.call('HDEL', KEYS[8], unpack(gone_couriers))
  redis.call('ZREM', KEYS[9], unpack(gone_couriers))
end
return answer('ok', earliest(KEYS[3]), swept, unresolved, poison, lost, #gone_couriers)
