#!lua flags=allow-oom
-- resolve: decides unresolved deliveries of one parcel. Each outcome names the attempt it decides; one for another
-- attempt, or for a delivery decided already, changes nothing. r repeats once (refused as `t` when the one repeat is
-- spent), R repeats under the same token and spends a try, h holds, s d f give the result of a lookup.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 leased:{p}:<channel>
-- KEYS 4 unresolved:{p}:<channel>
-- KEYS 5 crashes:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 member
-- ARGV 5 outcomes (delivery 2 bytes, attempt 1, outcome 1, reason 2, provider's code 4; ascending)
-- REPLY ok orders ended, a letter a outcome: a applied, n nothing new, s another attempt, t the repeat is spent
-- REPLY not_found no such order
-- REPLY newer_version a record of a later version
-- REPLY unreadable a record that can't be read
-- REPLY cancelled_before_due cancelled before it was due
-- REPLY wrong_epoch another database
-- BOUND 500 deliveries
-- uses: binary prologue bell ready reason order deliveries lease unlease outcome
local channel, member, outcomes = ARGV[3], ARGV[4], ARGV[5]
local order_id, n = split_member(member)
local order, code, parcel
if order_id then
  order, code = find_order(order_id, channel)
end
if order then
  parcel, code = find_parcel(order, n)
end
if not parcel then
  return answer(code or 'unreadable')
end
local leased = redis.call('ZSCORE', KEYS[3], member)
redis.call('ZCARD', KEYS[4])
redis.call('HLEN', KEYS[5])
local letters, again, died = {}, false, false
local before = parcel.unresolved
for at = 1, #outcomes, 10 do
  local i, k, outcome = u16(outcomes, at), byte(outcomes, at + 2), sub(outcomes, at + 3, at + 3)
  local reason = p16(u16(outcomes, at + 4))
  local letter = 's'
  if i < parcel.deliveries then
    local delivery = delivery_at(parcel, i)
    local s, q, flags = byte(delivery, 1, 3)
    local state, repeated = s - DELIVERY_VERSION, flags % TOKEN >= REPEATED
    if state == UNRESOLVED and q == k then
      letter = 'a'
      if outcome == 'r' and repeated then
        letter = 't'
      elseif outcome == 'r' or outcome == 'R' then
        died = died or u16(delivery, 4) == R_COURIER_DIED
        again = true
        -- Keeps the moment of the begin and the token: the repeat uses the same one.
        local value = flags >= TOKEN and sub(delivery, 9, 12) or '\0\0\0\0'
        local spent = repeated and flags or flags + REPEATED
        if outcome == 'R' and spent % 16 < 15 then
          spent = spent + 1
        end
        put_delivery(parcel, i, UNRESOLVED, PENDING, q, spent, sub(delivery, 4, 8) .. value)
      elseif outcome == 'h' then
        put_delivery(parcel, i, UNRESOLVED, UNKNOWN, q, flags, reason .. sub(delivery, 6, 12))
      else
        put_final(parcel, i, delivery, UNRESOLVED, FINAL_OF[outcome] or UNKNOWN, reason, sub(outcomes, at + 6, at + 9))
      end
    elseif q == k then
      letter = 'n'
    end
  end
  letters[#letters + 1] = letter
end
if parcel.unresolved ~= before then
  if parcel.unresolved == 0 then
    index_unresolved(parcel, member)
  end
  if again and not leased then
    back_to_ready(parcel, member)
  end
end
local done = is_done(parcel)
if parcel.touched then
  leave_mark()
end
write_parcels()
local ended = write_orders()
write_leaving(KEYS[3], nil, KEYS[4])
write_ready(false)
if done then
  redis.call('HDEL', KEYS[5], member)
elseif died then
  -- A parcel whose courier died is claimed alone next time.
  redis.call('HSETNX', KEYS[5], member, '0 ' .. string.format('%.0f', now))
end
return answer('ok', ended, table.concat(letters))
