#!lua
-- take_daily_places: takes a place in a sender's daily limit for one order; the same order counts once. When the day
-- is full, it returns the places of orders older than ten minutes, so that the caller can check whether those orders
-- exist. The key expires two days after the last place was taken.
--
-- KEYS 1 limit:{<sender>}
-- ARGV 1 request id
-- ARGV 2 order id
-- ARGV 3 orders a day
-- ARGV 4 start of the day in ms
-- REPLY ok orders of the day, this one included; when its place was taken in ms
-- REPLY already_done orders of the day, when its place was taken in ms; it had its place
-- REPLY limit_reached orders of the day, places older than ten minutes as order id, ms (100 at most)
-- BOUND 1,000 places of earlier days, 100 names
-- uses:
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', '(' .. ARGV[4], 'LIMIT', 0, 1000)
local at = redis.call('ZSCORE', KEYS[1], ARGV[2])
local had = at and tonumber(at) >= tonumber(ARGV[4])
local count = redis.call('ZCOUNT', KEYS[1], ARGV[4], '+inf')
local full = not had and count >= tonumber(ARGV[3])
local named = {}
if full then
  named = redis.call('ZRANGEBYSCORE', KEYS[1], ARGV[4], now - 600000, 'WITHSCORES', 'LIMIT', 0, 100)
end
if #old > 0 and not full then
  redis.call('ZREM', KEYS[1], unpack(old))
end
if full then
  return { 'limit_reached', ARGV[1], count, named }
end
if had then
  return { 'already_done', ARGV[1], count, tonumber(at) }
end
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', now + 172800000))
return { 'ok', ARGV[1], redis.call('ZCOUNT', KEYS[1], ARGV[4], '+inf'), now }
