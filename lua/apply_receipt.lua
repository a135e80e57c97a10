#!lua flags=allow-oom
-- apply_receipt: applies a delivery receipt: delivered, taken, or failed after all. Ranks only move up: a receipt may
-- come before the settle and then wins over it, or find the delivery final and change nothing.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 unresolved:{p}:<channel>
-- KEYS 4 crashes:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 member
-- ARGV 5 delivery
-- ARGV 6 attempt the receipt speaks of
-- ARGV 7 s taken, d delivered, f not delivered
-- ARGV 8 reason
-- ARGV 9 provider's code, packed; 0 without one
-- REPLY ok a applied, n nothing new, s an attempt never made
-- REPLY not_found no such order or delivery
-- REPLY newer_version a record of a later version
-- REPLY unreadable a record that can't be read
-- REPLY cancelled_before_due cancelled before it was due
-- REPLY wrong_epoch another database
-- BOUND one delivery
-- uses: binary prologue bell ready reason order deliveries lease unlease outcome
local channel, member, i, k, outcome = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local order_id, n = split_member(member)
local order, code, parcel, field
if order_id then
  order, code = find_order(order_id, channel)
end
if order then
  parcel, code, field = find_parcel(order, n)
end
if not order_id or field == 'member' or parcel and i >= parcel.deliveries then
  -- Never unreadable: the provider would repeat it for ever.
  return answer('not_found')
end
if not parcel then
  return answer(code)
end
redis.call('ZCARD', KEYS[3])
redis.call('HLEN', KEYS[4])
local delivery = delivery_at(parcel, i)
local s, q, flags = byte(delivery, 1, 3)
local state, to = s - DELIVERY_VERSION, FINAL_OF[outcome]
local same, older = q == k and delivery ~= FRESH, delivery ~= FRESH and was_begun(k, q)
local takes
if EVIDENCE[outcome] then
  takes = (same or older) and EVIDENCE[outcome][state]
else
  takes = same and (state == SENDING or state == SENT or state == UNRESOLVED or state == UNKNOWN)
end
if not takes then
  return answer('ok', (same or older) and 'n' or 's')
end
local unresolved_before, pending_before = parcel.unresolved, parcel.pending
-- Only a failed delivery keeps the code.
local kept = to == FAILED and p32(tonumber(ARGV[9])) or '\0\0\0\0'
put_delivery(parcel, i, state, to, q, flags % TOKEN, p16(tonumber(ARGV[8])) .. since_due(order) .. kept)
if parcel.unresolved ~= unresolved_before and parcel.unresolved == 0 then
  index_unresolved(parcel, member)
end
if parcel.pending ~= pending_before and parcel.pending == 0 then
  out_of_ready(parcel, member)
end
local done = is_done(parcel)
leave_mark()
write_parcels()
write_orders()
write_leaving(nil, nil, KEYS[3])
if done then
  redis.call('HDEL', KEYS[4], member)
end
return answer('ok', 'a')
