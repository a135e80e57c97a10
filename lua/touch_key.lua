#!lua flags=allow-oom
-- touch_key: records when an API key was last used, at most once a minute.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 key:{p}:<id>
-- ARGV 1 request id
-- ARGV 2 epoch
-- REPLY ok used ms, as it stands now
-- REPLY not_found no such key
-- REPLY wrong_epoch another database
-- BOUND one key
-- uses: binary prologue
local r = redis.call('HMGET', KEYS[3], 'created', 'used')
if not r[1] then
  return answer('not_found')
end
local used = tonumber(r[2] or 0)
if now - used < 60000 then
  return answer('ok', used)
end
redis.call('HSET', KEYS[3], 'used', now_text)
return answer('ok', now)
