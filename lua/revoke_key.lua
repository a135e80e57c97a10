#!lua flags=allow-oom
-- revoke_key: revokes an API key permanently.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 key:{p}:<id>
-- ARGV 1 request id
-- ARGV 2 epoch
-- REPLY ok revoked ms
-- REPLY already_done revoked ms; it was revoked before
-- REPLY not_found no such key
-- REPLY wrong_epoch another database
-- BOUND one key
-- uses: binary prologue
local r = redis.call('HMGET', KEYS[3], 'created', 'revoked')
if not r[1] then
  return answer('not_found')
end
if r[2] then
  return answer('already_done', tonumber(r[2]))
end
leave_mark()
redis.call('HSET', KEYS[3], 'revoked', now_text)
return answer('ok', now)
