#!lua flags=allow-oom
-- free_idempotency_key: releases an idempotency key from its order id: the request was refused, so the key may be
-- used again with another body. A binding shared with another request stays: that request may store its order under
-- this order id.
--
-- KEYS 1 idem:{<owner>:<key>}
-- ARGV 1 request id
-- ARGV 2 order id
-- REPLY ok 1 when the key was tied to this order id alone and is free now, else 0
-- BOUND one key
-- uses:
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 13) == ARGV[2] then
  redis.call('UNLINK', KEYS[1])
  return { 'ok', ARGV[1], 1 }
end
return { 'ok', ARGV[1], 0 }
