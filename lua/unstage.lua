#!lua flags=allow-oom
-- unstage: removes what was staged for an order that will not come, in bounded steps: the one named, or the oldest that was
-- given up or has been silent for 15 minutes.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 staging:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 suffix, or empty for the oldest silent one
-- ARGV 4 upload id, or empty for whichever there is
-- REPLY done suffix, or empty when there was none, or another upload took over
-- REPLY more suffix; call again
-- REPLY epoch another database
-- BOUND 500 parcels
-- uses: num open staging drop
local suffix = ARGV[3]
if suffix == '' then
  suffix = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now - STAGING_SILENCE, 'LIMIT', 0, 1)[1] or ''
end
if suffix == '' or not redis.call('ZSCORE', KEYS[3], suffix) then
  return answer('done', '')
end
local staged = staged_key(suffix)
if ARGV[4] ~= '' and redis.call('HGET', staged, UPLOAD) ~= ARGV[4] then
  return answer('done', '')
end
local counts = redis.call('HGETALL', staged)
redis.call('ZADD', KEYS[3], 0, suffix)
local room, left = 500, 0
for i = 1, #counts, 2 do
  if sub(counts[i], 1, 1) ~= UPLOAD then
    local before = tonumber(counts[i + 1])
    local count
    count, room = drop_parcels(suffix, counts[i], before, room)
    left = left + count
    if count ~= before then
      redis.call('HSET', staged, counts[i], count)
    end
  end
end
if left > 0 then
  return answer('more', suffix)
end
redis.call('UNLINK', staged, 'text:' .. tag .. ':' .. suffix)
redis.call('ZREM', KEYS[3], suffix)
return answer('done', suffix)
