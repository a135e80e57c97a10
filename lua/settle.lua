#!lua flags=allow-oom
-- settle: stores the outcomes of attempts. Each report names its attempt, so a repeat or a late copy changes nothing.
-- A report that a message was taken is kept as evidence even from a courier that has lost its lease. A parcel leaves
-- its lease when all its deliveries are settled or, on request, when none is sending.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 leased:{p}:<channel>
-- KEYS 4 lease:{p}:<channel>
-- KEYS 5 unresolved:{p}:<channel>
-- KEYS 6 crashes:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4… member, fence, 1 to leave the lease, reports (delivery 2 bytes, attempt 1, outcome 1, reason 2, value 4; ascending)
-- REPLY ok orders ended, per parcel: code (leased, sending, ready, settled, lease_lost, not_found, newer_version,
-- unreadable, cancelled_before_due), a letter a report
-- REPLY wrong_epoch another database
-- BOUND 200 parcels, 2,000 reports
-- uses: binary prologue bell ready reason order deliveries single_delivery lease unlease outcome
local channel = ARGV[3]
local members, count = {}, 0
for a = 4, #ARGV, 4 do
  count = count + 1
  members[count] = ARGV[a]
end
if count == 0 then
  return answer('ok', 0, {})
end
local leases = redis.call('HMGET', KEYS[4], unpack(members))
redis.call('ZCARD', KEYS[3])
redis.call('ZCARD', KEYS[5])
local any_crash = redis.call('HLEN', KEYS[6]) > 0
local results = {}
local progressed, finished = {}, {}

-- The only delivery of an order, held and sending, becomes final; true when the order has nothing else.
local PLAIN = { 'settled', 'a' }

local function settle_single(member, holder, record, reports)
  local to = FINAL_OF[sub(reports, 4, 4)]
  if not to or #reports ~= 10 or sub(member, -2) ~= ':0' or sub(reports, 1, 2) ~= '\0\0' or not holds(record, holder) then
    return false
  end
  local order_id = sub(member, 1, -3)
  local r = readable(redis.pcall('HMGET', HISTORY .. order_id, 'h', 'o', 'v', 'f'))
  if not r or orders[order_id] or r[4] or not plain_head(r[1]) then
    return false
  end
  local o = settled_single(r[1], r[2], byte(reports, 3), to, sub(reports, 5, 6), sub(reports, 7, 10))
  if not o then
    return false
  end
  put_single(order_id, o, r[3], true)
  unleased_members[#unleased_members + 1] = member
  finished[#finished + 1] = member
  progressed[member] = true
  return true
end

local function settle_parcel(p)
  local member, holder = members[p], ARGV[1 + 4 * p]
  local wants_out, reports = ARGV[2 + 4 * p] == '1', ARGV[3 + 4 * p]
  local current = holds(leases[p], holder)
  local order_id, n = split_member(member)
  local order, code = find_order(order_id, channel)
  if not order then
    return code, ''
  end
  local parcel
  parcel, code = find_parcel(order, n)
  if not parcel then
    return code, ''
  end
  local unresolved_before, pending_before = parcel.unresolved, parcel.pending
  local letters = {}
  for at = 1, #reports, 10 do
    local i, k = u16(reports, at), byte(reports, at + 2)
    local letter = 's'
    if i < parcel.deliveries then
      local outcome = sub(reports, at + 3, at + 3)
      letter = settle_delivery(parcel, i, k, outcome, u16(reports, at + 4), u32(reports, at + 6), current)
      if letter == 'a' and outcome ~= 'u' then
        progressed[member] = true
      end
    end
    letters[#letters + 1] = letter
  end
  if parcel.unresolved ~= unresolved_before then
    local send_by
    if current then
      local _
      _, _, _, send_by = read_lease(leases[p])
    end
    index_unresolved(parcel, member, send_by)
  end
  code = 'lease_lost'
  if current then
    if wants_out or parcel.pending + parcel.sending == 0 then
      code = end_lease(parcel, member)
      if code == 'settled' then
        finished[#finished + 1] = member
      end
    else
      code = 'leased'
    end
  elseif not leases[p] then
    if parcel.pending > pending_before then
      -- A late report made a delivery pending again, and the parcel is not leased.
      back_to_ready(parcel, member)
    elseif parcel.pending == 0 and pending_before > 0 then
      out_of_ready(parcel, member)
    end
    if is_done(parcel) then
      finished[#finished + 1] = member
    end
  end
  return code, table.concat(letters)
end

local settled = {}
for p = 1, count do
  local member = members[p]
  if settled[member] then
    -- Named twice in one call: the first report said everything.
    results[p] = { 'settled', string.rep('n', #ARGV[3 + 4 * p] / 10) }
  elseif settle_single(member, ARGV[1 + 4 * p], leases[p], ARGV[3 + 4 * p]) then
    results[p] = PLAIN
    settled[member] = true
  else
    local code, letters = settle_parcel(p)
    results[p] = { code, letters }
  end
end

if #touched_parcels + #single_ended > 0 then
  leave_mark()
end
write_parcels()
local ended = write_orders() + #single_ended
write_singles()
write_leaving(KEYS[3], KEYS[4], KEYS[5])
write_ready(false)
if any_crash then
  local marks = redis.call('HMGET', KEYS[6], unpack(members))
  for p = 1, count do
    if marks[p] and progressed[members[p]] then
      redis.call('HSET', KEYS[6], members[p], '0 ' .. string.format('%.0f', now))
    end
  end
  if #finished > 0 then
    redis.call('HDEL', KEYS[6], unpack(finished))
  end
end
return answer('ok', ended, results)
