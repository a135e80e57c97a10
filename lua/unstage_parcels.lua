#!lua flags=allow-oom
-- unstage_parcels: removes the staged data of an order that will not be enqueued, in bounded steps: the order named,
-- or the oldest that was given up or has been idle for 15 minutes.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 staging:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 order id, or empty for the oldest silent one
-- ARGV 4 upload id, or empty for whichever there is
-- REPLY done order id, or empty when there was none, or another upload took over
-- REPLY more order id; call again
-- REPLY wrong_epoch another database
-- BOUND 500 parcels
-- uses: binary prologue staging delete_parcels
local order_id = ARGV[3]
if order_id == '' then
  order_id = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - STAGING_SILENCE, 'LIMIT', 0, 1)[1] or ''
end
if order_id == '' or not redis.call('ZSCORE', KEYS[3], order_id) then
  return answer('done', '')
end
local staged = staged_key(order_id)
if ARGV[4] ~= '' and redis.call('HGET', staged, UPLOAD) ~= ARGV[4] then
  return answer('done', '')
end
local counts = redis.call('HGETALL', staged)
redis.call('ZADD', KEYS[3], 0, order_id)
local room, left = 500, 0
for i = 1, #counts, 2 do
  if sub(counts[i], 1, 1) ~= UPLOAD then
    local before = tonumber(counts[i + 1])
    local count
    count, room = drop_parcels(order_id, counts[i], before, room)
    left = left + count
    if count ~= before then
      redis.call('HSET', staged, counts[i], count)
    end
  end
end
if left > 0 then
  return answer('more', order_id)
end
redis.call('UNLINK', staged, 'text:' .. tag .. ':' .. order_id)
redis.call('ZREM', KEYS[3], order_id)
return answer('done', order_id)
