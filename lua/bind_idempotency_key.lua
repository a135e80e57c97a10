#!lua
-- bind_idempotency_key: binds an idempotency key to an order id and the digest of a body, once. A repeat gets the
-- order id that was bound. The first time another request gets it, the binding is marked as shared (a `+` after the
-- order id): from then on the request that made it no longer decides alone what happens to the order id, and
-- free_idempotency_key leaves the binding in place.
--
-- KEYS 1 idem:{<owner>:<key>}
-- ARGV 1 request id
-- ARGV 2 order id
-- ARGV 3 digest (12 bytes)
-- ARGV 4 time to live in ms
-- REPLY bound order id; also to the same call again
-- REPLY already_done order id of the first request
-- REPLY conflict the key is tied to another body
-- BOUND one key
-- uses:
local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[3] .. ARGV[2], 'PX', ARGV[4])
  return { 'bound', ARGV[1], ARGV[2] }
end
if string.sub(held, 1, 12) ~= ARGV[3] then
  return { 'conflict', ARGV[1] }
end
local shared = string.sub(held, -1) == '+'
local order_id = string.sub(held, 13, shared and -2 or -1)
if order_id == ARGV[2] then
  return { 'bound', ARGV[1], order_id }
end
if not shared then
  redis.call('APPEND', KEYS[1], '+')
end
return { 'already_done', ARGV[1], order_id }
