#!lua flags=allow-oom
-- unreserve: gives places in a day's limit back: an order was refused, or never came.
--
-- KEYS 1 limit:{<sender>}
-- ARGV 1 request id
-- ARGV 2… suffix
-- REPLY ok places given back
-- BOUND 100 places
-- uses:
local suffixes = {}
for a = 2, #ARGV do
  suffixes[#suffixes + 1] = ARGV[a]
end
return { 'ok', ARGV[1], #suffixes > 0 and redis.call('ZREM', KEYS[1], unpack(suffixes)) or 0 }
