#!lua flags=allow-oom
-- unreserve: gives places in a day's limit back: an order was refused, or never came. A place taken anew since stays.
--
-- KEYS 1 limit:{<sender>}
-- ARGV 1 request id
-- ARGV 2… suffix, when its place was taken in ms
-- REPLY ok places given back
-- BOUND 100 places
-- uses:
local suffixes = {}
for a = 2, #ARGV, 2 do
  local at = redis.call('ZSCORE', KEYS[1], ARGV[a])
  if at and tonumber(at) == tonumber(ARGV[a + 1]) then
    suffixes[#suffixes + 1] = ARGV[a]
  end
end
return { 'ok', ARGV[1], #suffixes > 0 and redis.call('ZREM', KEYS[1], unpack(suffixes)) or 0 }
