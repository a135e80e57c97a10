#!lua flags=allow-oom
-- limit_rate: lets the calls of an API key through at a steady rate and in bursts (GCRA). The only stored value is
-- the moment at which the whole burst is free again, in µs, and it expires then. A repeat counts again: it only makes
-- the caller wait.
--
-- KEYS 1 rate:{<key id>}
-- ARGV 1 request id
-- ARGV 2 cost in calls; 0 only looks
-- ARGV 3 calls a second, 1,000,000 at most
-- ARGV 4 calls at once at most
-- REPLY ok calls left at once, µs until all of them are free
-- REPLY retry_after µs until as many calls may pass
-- REPLY exceeds_burst more calls than may ever pass at once
-- BOUND one key
-- uses: binary
local cost, per_second, most = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local span = math.ceil(most * 1000000 / per_second)
-- Further ahead than one burst only if the clock went back.
local free = math.max(now, math.min(tonumber(redis.call('GET', KEYS[1]) or 0), now + span))
if cost > most then
  return { 'exceeds_burst', ARGV[1] }
end
local ahead = free - now + floor(cost * 1000000 / per_second)
if ahead > span then
  return { 'retry_after', ARGV[1], ahead - span }
end
if cost > 0 then
  redis.call('SET', KEYS[1], int(now + ahead), 'PX', int(math.max(1, math.ceil(ahead / 1000))))
end
return { 'ok', ARGV[1], floor((span - ahead) * per_second / 1000000), ahead }
