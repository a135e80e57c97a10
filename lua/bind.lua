#!lua
-- bind: ties an idempotency key to a suffix and the digest of a body, once; a repeat is told the suffix it was tied to. The
-- first time another request is told so, the tie is marked as shared (a `+` behind the suffix): from then on the request
-- that made it does not know alone what becomes of the suffix, and unbind leaves the tie as it is.
--
-- KEYS 1 idem:{<owner>:<key>}
-- ARGV 1 request id
-- ARGV 2 suffix
-- ARGV 3 digest (12 bytes)
-- ARGV 4 time to live in ms
-- REPLY bound suffix; also to the same call again
-- REPLY same suffix of the first request
-- REPLY other the key is tied to another body
-- BOUND one key
-- uses:
local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[3] .. ARGV[2], 'PX', ARGV[4])
  return { 'bound', ARGV[1], ARGV[2] }
end
if string.sub(held, 1, 12) ~= ARGV[3] then
  return { 'other', ARGV[1] }
end
local shared = string.sub(held, -1) == '+'
local suffix = string.sub(held, 13, shared and -2 or -1)
if suffix == ARGV[2] then
  return { 'bound', ARGV[1], suffix }
end
if not shared then
  redis.call('APPEND', KEYS[1], '+')
end
return { 'same', ARGV[1], suffix }
