#!lua flags=allow-oom
-- claim: promotes due orders, then takes ready parcels of one channel under a lease, urgent ones first; may begin the
-- deliveries of inline orders at once. The last request of each courier is stored with the parcels it took, so after
-- a lost reply the courier repeats the number and takes nothing more; a smaller number is an old copy and is refused.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- KEYS 5 ready:{p}:<channel>:urgent
-- KEYS 6 ready:{p}:<channel>:bulk
-- KEYS 7 leased:{p}:<channel>
-- KEYS 8 lease:{p}:<channel>
-- KEYS 9 request:{p}:<channel>
-- KEYS 10 couriers:{p}:<channel>
-- KEYS 11 channels:{p}
-- KEYS 12 crashes:{p}:<channel>
-- KEYS 13 unresolved:{p}:<channel>
-- KEYS 14 parked:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 courier id
-- ARGV 5 number of the request, growing
-- ARGV 6 lease in ms
-- ARGV 7 parcels at most
-- ARGV 8 bulk parcels at most
-- ARGV 9 deliveries to begin at once at most
-- ARGV 10 send window in ms: what is begun must have ended by now + this
-- ARGV 11 1 when the courier has nothing else in hand: should it die now, what is taken alone is the cause
-- REPLY ok next due time or end of a lease in ms (0: none), oldest ready ms (0: none), waiting, promoted, persisted, lost, closed, parcels:
-- REPLY ok  each member, mark (1 careful: claimed alone), history as field, value, …
-- REPLY ok  then names of orders and parcels of a later version, left to a newer program
-- REPLY already_done as ok, for a number already answered
-- REPLY outdated the number is smaller than the last one
-- REPLY wrong_epoch another database
-- BOUND 500 parcels promoted, 200 claimed, 4,000 deliveries closed
-- uses: binary prologue earliest bell ready reason order deliveries single_delivery lease begin park content promote
local channel, courier, number = ARGV[3], ARGV[4], tonumber(ARGV[5])
local room, bulk_room = tonumber(ARGV[7]), tonumber(ARGV[8])
local begin_left, send_by = tonumber(ARGV[9]), now + tonumber(ARGV[10])
local CLOSED_DELIVERIES, MARKED_WAIT = 4000, 30000

-- All keys this script writes are read first: a key of a wrong type stops it here, before any write.
redis.call('ZCARD', KEYS[7])
redis.call('HLEN', KEYS[8])
redis.call('ZSCORE', KEYS[10], courier)
redis.call('HEXISTS', KEYS[11], channel)
redis.call('ZCARD', KEYS[5])
redis.call('ZCARD', KEYS[6])
redis.call('ZCARD', KEYS[13])
redis.call('ZCARD', KEYS[14])
local any_crash = redis.call('HLEN', KEYS[12]) > 0

local function answer_claim(code, taken, closed)
  local left = redis.call('ZCARD', KEYS[5]) + redis.call('ZCARD', KEYS[6])
  local oldest = left > 0 and earliest(KEYS[5], KEYS[6]) or 0
  local next_at, over = next_due(), earliest(KEYS[7], KEYS[13])
  if over > 0 and (next_at == 0 or over < next_at) then
    next_at = over
  end
  return answer(code, next_at, oldest, left, promoted.parcels, promoted.persisted, promoted.lost, closed, taken, promoted.newer)
end

local last = redis.call('HGET', KEYS[9], courier)
if last then
  local last_number, last_fence, members = string.match(last, '^(%d+) (%d+) ?(.*)$')
  last_number = tonumber(last_number) or 0
  if number < last_number then
    return answer('outdated')
  end
  if number == last_number then
    local taken = {}
    for member in string.gmatch(members, '%S+') do
      local record = redis.call('HGET', KEYS[8], member)
      if holds(record, last_fence) then
        local order_id = split_member(member)
        local fields = readable(redis.pcall('HGETALL', history_key(order_id)))
        if fields and #fields > 0 then
          taken[#taken + 1] = { member, any_crash and redis.call('HEXISTS', KEYS[12], member) or 0, fields }
        end
      end
    end
    fence = last_fence
    return answer_claim('already_done', taken, 0)
  end
end

promote()

-- Examines one candidate. Returns `take` with its entry, or what to do with the member instead.
local closed_deliveries, unmark, newer_members = 0, {}, {}
local begun_members, begun_now = {}, false

-- Begins the only delivery of an order, if the order has nothing else; the caller sees the state after this call.
local function begin_plain(order_id, fields)
  local head, o, o_at, revision
  local size = #fields
  for i = 1, size, 2 do
    local name = fields[i]
    if name == 'h' then
      head = fields[i + 1]
    elseif name == 'o' then
      o, o_at = fields[i + 1], i + 1
    elseif name == 'v' then
      revision = fields[i + 1]
    elseif name == 'x' or name == 'f' then
      return false
    end
  end
  if not plain_head(head) or not is_single(head, channel) or now >= u48(head, 17) then
    return false
  end
  o = begun_single(head, o)
  if not o or content_error(fields, 1) then
    return false
  end
  if o_at then
    fields[o_at] = o
  else
    fields[size + 1], fields[size + 2] = 'o', o
  end
  put_single(order_id, o, revision)
  begin_left = begin_left - 1
  begun_now = true
  return true
end

local function examine(member)
  local order_id, n = split_member(member)
  if not order_id then
    return 'drop'
  end
  local fields = readable(redis.pcall('HGETALL', history_key(order_id)))
  if not fields then
    return 'unreadable', nil, 'type'
  end
  if begin_left > 0 and n == 0 and begin_plain(order_id, fields) then
    return 'take', { member, 0, fields }
  end
  if not string.find(order_id, '^[%w_-]+:%d+$') then
    return 'drop'
  end
  local f = {}
  for i = 1, #fields, 2 do
    f[fields[i]] = fields[i + 1]
  end
  f.c = f['c:' .. channel]
  local order, code, why = orders[order_id], nil, nil
  if not order then
    order, code, why = read_order(order_id, channel, f)
  end
  if not order then
    return code, nil, why
  end
  if order.cancelled or now >= order.not_after then
    local parcel
    parcel, code, why = find_parcel(order, n)
    if not parcel then
      return code == 'cancelled_before_due' and 'not_found' or code, nil, why
    end
    if closed_deliveries + parcel.deliveries > CLOSED_DELIVERIES then
      return 'skip'
    end
    closed_deliveries = closed_deliveries + parcel.deliveries
    end_pending(parcel, order.cancelled and CANCELLED or EXPIRED, order.cancelled and R_CANCELLED or R_EXPIRED)
    return 'closed'
  end
  if order.inline then
    -- Nothing of it is begun unless this program can read all of it.
    local parcel
    parcel, code, why = find_parcel(order, n)
    if parcel then
      code, why = deliveries_error(parcel), 'outcomes'
      if not code then
        code, why = content_error(fields, order.deliveries), 'content'
      end
    end
    if code then
      return code, nil, why
    end
    for i = 0, parcel.deliveries - 1 do
      local delivery = delivery_at(parcel, i)
      if begin_left > 0 and byte(delivery) == DELIVERY_VERSION + PENDING and wait_of(order, delivery) <= now
        and not is_suspect(delivery) then
        begin_delivery(parcel, i, delivery)
        begin_left = begin_left - 1
        begun_members[member] = parcel
        begun_now = true
      end
    end
  end
  return 'take', { member, 0, fields }
end

local taken, members, begun, closed = {}, {}, {}, 0
local stop = false

local function pick(key, limit)
  if stop or limit <= 0 then
    return 0
  end
  local found = redis.call('ZRANGEBYSCORE', key, '-inf', now_text, 'LIMIT', 0, limit)
  if #found == 0 then
    return 0
  end
  local marks = any_crash and redis.call('HMGET', KEYS[12], unpack(found)) or {}
  local out, count = {}, 0
  for i = 1, #found do
    local member = found[i]
    if not stop and not (marks[i] and #taken > 0) then
      if marks[i] then
        begin_left = 0
      end
      begun_now = false
      local outcome, entry, why = examine(member)
      if outcome == 'take' then
        count = count + 1
        if marks[i] then
          entry[2] = 1
          stop = true
        end
        taken[#taken + 1] = entry
        members[#members + 1] = member
        begun[#members] = begun_now
        out[#out + 1] = member
      elseif outcome == 'closed' then
        closed = closed + 1
        unmark[#unmark + 1] = member
        out[#out + 1] = member
      elseif outcome == 'newer_version' then
        newer_members[#newer_members + 1] = { key, member }
        promoted.newer[#promoted.newer + 1] = member
      elseif outcome == 'unreadable' then
        park(channel, member, why)
        out[#out + 1] = member
      elseif outcome ~= 'skip' then
        unmark[#unmark + 1] = member
        out[#out + 1] = member
      end
    end
  end
  if #out > 0 then
    redis.call('ZREM', key, unpack(out))
  end
  return count
end

-- A marked parcel is claimed alone, so urgent parcels would keep a marked bulk parcel waiting forever: once it has
-- waited long at the head of its priority, it goes first.
local waiting_marked = any_crash and bulk_room > 0
  and redis.call('ZRANGEBYSCORE', KEYS[6], '-inf', now - MARKED_WAIT, 'LIMIT', 0, 1)[1]
if waiting_marked and redis.call('HEXISTS', KEYS[12], waiting_marked) == 1 then
  pick(KEYS[6], 1)
end
room = room - pick(KEYS[5], room)
pick(KEYS[6], math.min(room, bulk_room))

write_parcels()
-- The caller sees the state after this call.
for i = 1, #taken do
  local parcel = begun_members[members[i]]
  if parcel then
    local fields = taken[i][3]
    local at = #fields + 1
    for k = 1, #fields, 2 do
      if fields[k] == 'o' then
        at = k
      end
    end
    fields[at], fields[at + 1] = 'o', parcel.order.o
  end
end
write_orders()
write_singles()
for i = 1, #newer_members do
  redis.call('ZADD', newer_members[i][1], now + NEWER_WAIT, newer_members[i][2])
end
write_parked()
if any_crash and #unmark > 0 then
  redis.call('HDEL', KEYS[12], unpack(unmark))
end
if #taken > 0 then
  leave_mark()
  fence = int(fence)
  local ends, records, alone = {}, {}, #taken == 1 and ARGV[11] == '1' and 1 or 0
  local over = int(now + tonumber(ARGV[6]))
  local held, sending = lease_record(fence, 0, alone, 0, courier), lease_record(fence, 1, 0, send_by, courier)
  for i = 1, #members do
    local member = members[i]
    ends[i * 2 - 1], ends[i * 2] = over, member
    records[i * 2 - 1], records[i * 2] = member, begun[i] and sending or held
  end
  redis.call('ZADD', KEYS[7], unpack(ends))
  redis.call('HSET', KEYS[8], unpack(records))
end
redis.call('HSET', KEYS[9], courier, ARGV[5] .. ' ' .. fence .. ' ' .. table.concat(members, ' '))
redis.call('ZADD', KEYS[10], now_text, courier)
redis.call('HSET', KEYS[11], channel, now_text)
return answer_claim('ok', taken, closed)
