#!lua flags=allow-oom
-- receipt: a late word from outside about one row: delivered, taken, or not delivered after all. Ranks only move up: a
-- receipt may come before the settle and then wins over it, or find the row final and change nothing.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 unresolved:{p}:<channel>
-- KEYS 4 crashes:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 member
-- ARGV 5 row
-- ARGV 6 attempt the receipt speaks of
-- ARGV 7 s taken, d delivered, f not delivered
-- ARGV 8 reason
-- REPLY ok a applied, n nothing new, s an attempt never made
-- REPLY gone no such order
-- REPLY newer a record of a later version
-- REPLY bad a record that can't be read, or no such row
-- REPLY final cancelled before it was due
-- REPLY epoch another database
-- BOUND one row
-- uses: num open bell ready reason order rows lease leave verdict
local channel, member, i, k, verdict = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local suffix, n = split_member(member)
local order, code, parcel
if suffix then
  order, code = find_order(suffix, channel)
end
if order then
  parcel, code = find_parcel(order, n)
end
if not parcel or i >= parcel.rows then
  return answer(not parcel and code or 'bad')
end
redis.call('ZCARD', KEYS[3])
redis.call('HLEN', KEYS[4])
local row = row_at(parcel, i)
local s, q, flags = byte(row, 1, 3)
local state, to = s - ROW_VERSION, FINAL_OF[verdict]
local same, older = q == k and row ~= FRESH, row ~= FRESH and was_begun(k, q)
local takes
if EVIDENCE[verdict] then
  takes = (same or older) and EVIDENCE[verdict][state]
else
  takes = same and (state == SENDING or state == SENT or state == UNRESOLVED or state == UNKNOWN)
end
if not takes then
  return answer('ok', (same or older) and 'n' or 's')
end
local unresolved_before, pending_before = parcel.unresolved, parcel.pending
put_row(parcel, i, state, to, q, flags % TOKEN, p16(tonumber(ARGV[8])) .. since_due(order) .. '\0\0\0\0')
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
