#!lua flags=allow-oom
-- park: parks parcels that their holder can't read although their heads are readable. Deliveries begun with the
-- claim, which were never sent, become pending again. A parcel named without a fence has unresolved deliveries and is
-- not leased.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 leased:{p}:<channel>
-- KEYS 4 lease:{p}:<channel>
-- KEYS 5 unresolved:{p}:<channel>
-- KEYS 6 parked:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4… member, fence or empty, why
-- REPLY ok per parcel: 1 parked, 0 somebody else holds it
-- REPLY wrong_epoch another database
-- BOUND 200 parcels
-- uses: binary prologue bell ready reason order deliveries lease park unlease outcome
local channel = ARGV[3]
local members, count = {}, 0
for a = 4, #ARGV, 3 do
  count = count + 1
  members[count] = ARGV[a]
end
if count == 0 then
  return answer('ok', {})
end
local leases = redis.call('HMGET', KEYS[4], unpack(members))
redis.call('ZCARD', KEYS[3])
redis.call('ZCARD', KEYS[5])
redis.call('ZCARD', KEYS[6])
local results = {}
for p = 1, count do
  local member, holder, why = members[p], ARGV[2 + 3 * p], ARGV[3 + 3 * p]
  results[p] = 0
  if (holder ~= '' and holds(leases[p], holder)) or (holder == '' and not leases[p]) then
    local order_id, n = split_member(member)
    local order = order_id and find_order(order_id, channel)
    local parcel = order and find_parcel(order, n)
    if parcel and holder ~= '' then
      for i = 0, parcel.deliveries - 1 do
        local s, q = byte(delivery_at(parcel, i), 1, 2)
        if s == DELIVERY_VERSION + SENDING then
          settle_delivery(parcel, i, q, 'n', 0, 0, true)
        end
      end
    end
    results[p] = 1
    unleased_members[#unleased_members + 1] = member
    if holder == '' then
      out_of_unresolved(member)
    end
    park(channel, member, why)
  end
end
write_parcels()
write_orders()
write_leaving(KEYS[3], KEYS[4], KEYS[5])
write_parked()
return answer('ok', results)
