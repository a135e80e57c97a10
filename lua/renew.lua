#!lua flags=allow-oom
-- renew: extends leases that have not expired.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 leased:{p}:<channel>
-- KEYS 4 lease:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 lease in ms
-- ARGV 4… member, fence
-- REPLY ok a letter a parcel: r renewed, e expired, l lost
-- REPLY wrong_epoch another database
-- BOUND 200 parcels
-- uses: binary prologue lease
local members, count = {}, 0
for a = 4, #ARGV, 2 do
  count = count + 1
  members[count] = ARGV[a]
end
if count == 0 then
  return answer('ok', '')
end
local ends = redis.call('ZMSCORE', KEYS[3], unpack(members))
local leases = redis.call('HMGET', KEYS[4], unpack(members))
local over = now + tonumber(ARGV[3])
local letters, new = {}, {}
for p = 1, count do
  if not holds(leases[p], ARGV[3 + 2 * p]) or not ends[p] then
    letters[p] = 'l'
  elseif tonumber(ends[p]) <= now then
    letters[p] = 'e'
  else
    letters[p] = 'r'
    new[#new + 1] = over
    new[#new + 1] = members[p]
  end
end
if #new > 0 then
  redis.call('ZADD', KEYS[3], 'XX', 'GT', unpack(new))
end
return answer('ok', table.concat(letters))
