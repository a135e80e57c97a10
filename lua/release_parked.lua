#!lua flags=allow-oom
-- release_parked: takes parcels of one channel, or orders, off the list of unreadable records. repair_indexes puts
-- them back into the indexes where their records belong; one that still can't be read is parked again by the next
-- script that reads it.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 parked:{p}:<channel> or parked:{p}
-- KEYS 4 parked_why:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel, or empty for orders
-- ARGV 4… member, or order id of an order
-- REPLY ok how many were parked
-- REPLY wrong_epoch another database
-- BOUND 200 names
-- uses: binary prologue
local names, fields = {}, {}
for a = 4, #ARGV do
  names[#names + 1] = ARGV[a]
  fields[#fields + 1] = ARGV[3] == '' and ARGV[a] or ARGV[3] .. ':' .. ARGV[a]
end
if #names == 0 then
  return answer('ok', 0)
end
redis.call('HLEN', KEYS[4])
local scores = redis.call('ZMSCORE', KEYS[3], unpack(names))
for i = 1, #names do
  if scores[i] then
    -- If a rollback lost this change, they would be parked again although their release was reported.
    leave_mark()
    break
  end
end
local taken = redis.call('ZREM', KEYS[3], unpack(names))
redis.call('HDEL', KEYS[4], unpack(fields))
return answer('ok', taken)
