#!lua flags=allow-oom
-- unbind: takes an idempotency key off its suffix: the request was refused, so the key may come back with another body. A
-- tie that another request shares stays: that one may store its order under this suffix.
--
-- KEYS 1 idem:{<owner>:<key>}
-- ARGV 1 request id
-- ARGV 2 suffix
-- REPLY ok 1 when the key was tied to this suffix alone and is free now, else 0
-- BOUND one key
-- uses:
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 13) == ARGV[2] then
  redis.call('UNLINK', KEYS[1])
  return { 'ok', ARGV[1], 1 }
end
return { 'ok', ARGV[1], 0 }
