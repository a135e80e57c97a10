#!lua flags=allow-oom
-- begin: marks deliveries as sending, each under its next attempt. A courier sends nothing for a delivery before this
-- returns `b` for it. Requires the current fence, a running lease, an order that is not cancelled and not past
-- not_after, and that the record holds the attempts before it. A delivery already sending under this fence and
-- attempt is a repeat and returns `b` again. Deliveries whose courier died while sending them are sent alone; the
-- lease records this while only such deliveries were begun last.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 leased:{p}:<channel>
-- KEYS 4 lease:{p}:<channel>
-- KEYS 5 token:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 send window in ms
-- ARGV 5 deliveries of one parcel that may share a token, 0 for no tokens
-- ARGV 6 partitions of the database
-- ARGV 7… member, fence, deliveries (delivery 2 bytes, attempt 1 byte; ascending)
-- REPLY ok per parcel: code (ok, lease_lost, lease_expired, cancelled, expired, not_found, newer_version,
-- unreadable), a letter a delivery, tokens (4 bytes each)
-- REPLY wrong_epoch another database
-- BOUND 200 parcels, 2,000 deliveries
-- uses: binary prologue bell ready reason order deliveries lease token begin
local channel, deliveries_a_token = ARGV[3], tonumber(ARGV[5])
local tokens_wanted = deliveries_a_token > 0
local send_by = now + tonumber(ARGV[4])
local members, count = {}, 0
for a = 7, #ARGV, 3 do
  count = count + 1
  members[count] = ARGV[a]
end
if count == 0 then
  return answer('ok', {})
end
local ends = redis.call('ZMSCORE', KEYS[3], unpack(members))
local leases = redis.call('HMGET', KEYS[4], unpack(members))
local tokens_of = tokens_wanted and token_counter(redis.call('GET', KEYS[5]), tonumber(ARGV[6])) or nil
local results, records = {}, {}

-- b begun, a another attempt is recorded, f final, x no such delivery
local function begin_deliveries(parcel, deliveries)
  local letters, tokens = {}, {}
  local any, alone = false, count == 1 and parcel.sending == 0 and 1 or 0
  local token, shared = nil, 0
  for at = 1, #deliveries, 3 do
    local i, k = u16(deliveries, at), byte(deliveries, at + 2)
    local letter = 'x'
    if i < parcel.deliveries then
      local delivery = delivery_at(parcel, i)
      local s, q, flags = byte(delivery, 1, 3)
      local state = s - DELIVERY_VERSION
      if state == PENDING and (q + 1) % 256 == k then
        if tokens_wanted and flags < TOKEN then
          if shared % deliveries_a_token == 0 then
            token = next_token(tokens_of)
          end
          shared = shared + 1
        end
        if not is_suspect(delivery) then
          alone = 0
        end
        begin_delivery(parcel, i, delivery, token, tokens_wanted)
        letter, any = 'b', true
      elseif state == SENDING and q == k then
        letter = 'b'
      elseif state == PENDING or state == SENDING then
        letter = 'a'
      else
        letter = 'f'
      end
      if tokens_wanted then
        tokens[#tokens + 1] = sub(delivery_at(parcel, i), 9, 12)
      end
    elseif tokens_wanted then
      tokens[#tokens + 1] = '\0\0\0\0'
    end
    letters[#letters + 1] = letter
  end
  return table.concat(letters), table.concat(tokens), any, alone
end

for p = 1, count do
  local member, holder = members[p], ARGV[5 + 3 * p]
  local code
  local letters, tokens = '', ''
  if not holds(leases[p], holder) then
    code = 'lease_lost'
  elseif not ends[p] or tonumber(ends[p]) <= now then
    code = 'lease_expired'
  else
    local order_id, n = split_member(member)
    local order, parcel
    order, code = find_order(order_id, channel)
    if order and order.cancelled then
      code = 'cancelled'
    elseif order and now >= order.not_after then
      code = 'expired'
    elseif order then
      parcel, code = find_parcel(order, n)
      if parcel then
        code = 'ok'
        local any, alone
        letters, tokens, any, alone = begin_deliveries(parcel, ARGV[6 + 3 * p])
        if any then
          local _, _, _, until_ms, courier = read_lease(leases[p])
          records[#records + 1] = member
          records[#records + 1] = lease_record(holder, 1, alone, math.max(until_ms, send_by), courier)
        end
      end
    end
  end
  results[p] = { code, letters, tokens }
end

if #records > 0 then
  leave_mark()
end
write_parcels()
write_orders()
if #records > 0 then
  redis.call('HSET', KEYS[4], unpack(records))
end
if tokens_of and tokens_of.last then
  redis.call('SET', KEYS[5], int(tokens_of.last))
end
return answer('ok', results)
