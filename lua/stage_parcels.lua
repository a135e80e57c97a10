#!lua
-- stage_parcels: stores parcels of a big order that is still being uploaded. It becomes an order only with enqueue;
-- staged data that is idle for 15 minutes is removed. The parcels of a channel come in order from 0; one stored
-- before is stored again. Each upload has an id: a new upload takes over from an earlier one of the same order id, so
-- the two never mix.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 staging:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 order id
-- ARGV 4 upload id
-- ARGV 5 1 for the first call, which opens
-- ARGV 6 content of the order (with the first call, else empty)
-- ARGV 7… channel, number, parcel
-- REPLY ok parcels stored
-- REPLY upload_lost not open: never opened, idle for too long, given up, enqueued, or taken over by another upload
-- REPLY order_exists an order has this order id already
-- REPLY gap a number beyond the next one
-- REPLY wrong_epoch another database
-- BOUND 100 parcels, 130 fields of the upload before
-- uses: binary prologue staging
local order_id, upload, opening = ARGV[3], ARGV[4], ARGV[5] == '1'
if redis.call('EXISTS', 'history:' .. tag .. ':' .. order_id) == 1 then
  return answer('order_exists')
end
local at = redis.call('ZSCORE', KEYS[3], order_id)
if not is_staging(KEYS[3], order_id) and (at or not opening) then
  return answer('upload_lost')
end
local staged = staged_key(order_id)
local holder = redis.call('HGET', staged, UPLOAD)
if holder ~= upload and not opening then
  return answer('upload_lost')
end
-- Per channel: the number of parcels of this upload, and of all stored parcels, from any upload.
local counts, held = {}, {}
for a = 7, #ARGV, 3 do
  local channel, n = ARGV[a], tonumber(ARGV[a + 1])
  if not counts[channel] then
    local found = redis.call('HMGET', staged, UPLOAD .. channel, channel)
    counts[channel] = holder == upload and tonumber(found[1] or 0) or 0
    held[channel] = tonumber(found[2] or 0)
  end
  if n > counts[channel] then
    return answer('gap')
  end
  counts[channel] = math.max(counts[channel], n + 1)
  held[channel] = math.max(held[channel], n + 1)
end
local stale = {}
if holder and holder ~= upload then
  local names = redis.call('HKEYS', staged)
  for i = 1, #names do
    if sub(names[i], 1, 1) == UPLOAD then
      stale[#stale + 1] = names[i]
    end
  end
end
redis.call('ZADD', KEYS[3], now, order_id)
if #stale > 0 then
  redis.call('HDEL', staged, unpack(stale))
end
if opening then
  redis.call('SET', 'text:' .. tag .. ':' .. order_id, ARGV[6])
  redis.call('HSET', staged, UPLOAD, upload)
end
for a = 7, #ARGV, 3 do
  redis.call('SET', 'parcel:' .. tag .. ':' .. order_id .. ':' .. ARGV[a] .. ':' .. ARGV[a + 1], ARGV[a + 2])
  redis.call('HSET', staged, UPLOAD .. ARGV[a], counts[ARGV[a]], ARGV[a], held[ARGV[a]])
end
return answer('ok', floor((#ARGV - 6) / 3))
