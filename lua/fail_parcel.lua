#!lua flags=allow-oom
-- fail_parcel: ends the rows of a parked parcel, by an operator's word. Where its rows can be read, pending ones fail, and what
-- may have left is unknown. Where they can't, all of them are unknown, and the counters of the order are counted anew.
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
-- REPLY ok rows ended
-- REPLY absent it is not parked
-- REPLY leased a courier holds it
-- REPLY newer a record of a later version: a newer program can read it
-- REPLY broken its order can't be read, or has too many parcels to be counted anew: only the whole order can be ended
-- REPLY epoch another database
-- BOUND one parcel; 400 parcels of 500 rows are counted when its rows can't be read
-- uses: num open bell ready reason order rows lease leave
local channel, member = ARGV[3], ARGV[4]
local MOST_COUNTED = 400
if not redis.call('ZSCORE', KEYS[6], member) then
  return answer('absent')
end
if redis.call('ZSCORE', KEYS[3], member) or redis.call('HEXISTS', KEYS[4], member) == 1 then
  return answer('leased')
end
redis.call('ZCARD', KEYS[5])
redis.call('HLEN', KEYS[7])
redis.call('HLEN', KEYS[8])
local suffix, n = split_member(member)
local order, parcel, flaw
if suffix then
  order, flaw = find_order(suffix, channel)
end
if flaw == 'newer' then
  return answer('newer')
elseif not order or parcel_rows(order, n) <= 0 then
  return answer('broken')
end
parcel, flaw = find_parcel(order, n)
if parcel then
  flaw = rows_flaw(parcel)
end
if flaw == 'newer' then
  return answer('newer')
elseif flaw and parcel then
  order.parcels[n] = nil
  parcel = nil
end
local ended

if parcel then
  ended = parcel.pending + parcel.sending + parcel.unresolved
  end_pending(parcel, FAILED, R_UNREADABLE)
  for i = 0, parcel.rows - 1 do
    local row = row_at(parcel, i)
    local s, q, flags = byte(row, 1, 3)
    if s == ROW_VERSION + SENDING or s == ROW_VERSION + UNRESOLVED then
      put_row(parcel, i, s - ROW_VERSION, UNKNOWN, q, flags, p16(R_UNREADABLE) .. sub(row, 6, 12))
    end
  end
else
  ended = parcel_rows(order, n)
  local unknown = char(ROW_VERSION + UNKNOWN, 0, 0) .. p16(R_UNREADABLE) .. since_due(order) .. '\0\0\0\0'
  local made = { order = order, n = n, rows = ended, set = {}, list = {}, fresh = true, touched = true }
  for i = 0, ended - 1 do
    made.set[i] = unknown
  end
  made.pending, made.sending, made.unresolved = 0, 0, 0
  made.key = 'outcome:' .. tag .. ':' .. suffix .. ':' .. channel .. ':' .. n
  if not order.inline then
    local parcels = parcels_of(order.rows, false)
    if parcels > MOST_COUNTED then
      return answer('broken')
    end
    local found = { [UNKNOWN] = ended }
    for other = 0, parcels - 1 do
      local counted, unreadable
      if other ~= n then
        counted, unreadable = find_parcel(order, other)
      end
      if unreadable == 'newer' then
        return answer('newer')
      elseif counted then
        for i = 0, counted.rows - 1 do
          local state = byte(counted.o, 7 + 12 * i) - ROW_VERSION
          if state >= ROW_VERSION then
            return answer('newer')
          end
          found[state] = (found[state] or 0) + 1
        end
      elseif other ~= n then
        -- Of another one that can't be read nothing is known either: it is open until it is ended too.
        found[PENDING] = (found[PENDING] or 0) + parcel_rows(order, other)
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
