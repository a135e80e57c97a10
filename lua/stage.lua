#!lua
-- stage: stores parcels of a big order that is still streaming in. Nothing of it is an order before enqueue; what goes
-- silent for 15 minutes is swept. The parcels of a channel come in order from 0; one stored before is stored again.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 staging:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 suffix
-- ARGV 4 1 for the first call, which opens
-- ARGV 5 content of the order (with the first call, else empty)
-- ARGV 6… channel, number, parcel
-- REPLY ok parcels stored
-- REPLY gone not open: never opened, silent too long, given up, or enqueued
-- REPLY exists an order has this suffix already
-- REPLY hole a number beyond the next one
-- REPLY epoch another database
-- BOUND 100 parcels
-- uses: num open staging
local suffix, opening = ARGV[3], ARGV[4] == '1'
if redis.call('EXISTS', 'history:' .. tag .. ':' .. suffix) == 1 then
  return answer('exists')
end
local at = redis.call('ZSCORE', KEYS[3], suffix)
if not is_staging(KEYS[3], suffix) and (at or not opening) then
  return answer('gone')
end
local staged = staged_key(suffix)
local counts = {}
for a = 6, #ARGV, 3 do
  local channel, n = ARGV[a], tonumber(ARGV[a + 1])
  local count = counts[channel] or tonumber(redis.call('HGET', staged, channel) or 0)
  if n > count then
    return answer('hole')
  end
  counts[channel] = math.max(count, n + 1)
end
redis.call('ZADD', KEYS[3], now, suffix)
if opening then
  redis.call('SET', 'text:' .. tag .. ':' .. suffix, ARGV[5])
end
for a = 6, #ARGV, 3 do
  redis.call('SET', 'parcel:' .. tag .. ':' .. suffix .. ':' .. ARGV[a] .. ':' .. ARGV[a + 1], ARGV[a + 2])
  redis.call('HSET', staged, ARGV[a], counts[ARGV[a]])
end
return answer('ok', floor((#ARGV - 5) / 3))
