#!lua flags=allow-oom
-- claim_unresolved: returns parcels with unresolved deliveries whose send_by has passed, for the channel's resolver,
-- and defers each so that other couriers don't get it at the same time. Members that are not parcel ids are removed.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 unresolved:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 parcels at most
-- ARGV 4 ms to put each off
-- REPLY ok next send_by ms (0: none), members
-- REPLY wrong_epoch another database
-- BOUND 200 parcels
-- uses: binary prologue earliest
local members = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, ARGV[3])
local later, named, foreign = {}, {}, {}
for i = 1, #members do
  if string.find(members[i], '^[%w_-]+:%d+:%d+$') then
    named[#named + 1] = members[i]
    later[#later + 1] = now + tonumber(ARGV[4])
    later[#later + 1] = members[i]
  else
    foreign[#foreign + 1] = members[i]
  end
end
if #foreign > 0 then
  redis.call('ZREM', KEYS[3], unpack(foreign))
end
if #later > 0 then
  redis.call('ZADD', KEYS[3], unpack(later))
end
return answer('ok', earliest(KEYS[3]), named)
