#!lua flags=allow-oom
-- release: gives leases back, as a stopping courier does. Pending deliveries are ready again at once, in their former
-- place, or after a wait; this counts no crash. A parcel with a delivery still sending stays.
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
-- ARGV 4 wait in ms
-- ARGV 5… member, fence
-- REPLY ok per parcel: code (ready, settled, sending, lease_lost, not_found, newer_version, unreadable, cancelled_before_due)
-- REPLY wrong_epoch another database
-- BOUND 200 parcels
-- uses: binary prologue bell ready reason order deliveries lease unlease
local channel = ARGV[3]
local wait = tonumber(ARGV[4])
local members, count = {}, 0
for a = 5, #ARGV, 2 do
  count = count + 1
  members[count] = ARGV[a]
end
if count == 0 then
  return answer('ok', {})
end
local leases = redis.call('HMGET', KEYS[4], unpack(members))
redis.call('ZCARD', KEYS[3])
redis.call('ZCARD', KEYS[5])
local any_crash = redis.call('HLEN', KEYS[6]) > 0
local results, done = {}, {}
for p = 1, count do
  local member = members[p]
  local code
  if holds(leases[p], ARGV[4 + 2 * p]) then
    local order_id, n = split_member(member)
    local order, parcel
    order, code = find_order(order_id, channel)
    if order then
      parcel, code = find_parcel(order, n)
      if parcel then
        code = end_lease(parcel, member, wait > 0 and now + wait or 0, true)
        if is_done(parcel) then
          done[#done + 1] = member
        end
      end
    end
  else
    code = 'lease_lost'
  end
  results[p] = code
end
write_parcels()
write_orders()
write_leaving(KEYS[3], KEYS[4], KEYS[5])
write_ready(false)
if any_crash and #done > 0 then
  redis.call('HDEL', KEYS[6], unpack(done))
end
return answer('ok', results)
