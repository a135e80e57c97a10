#!lua flags=allow-oom
-- return_daily_places: returns places in a sender's daily limit: an order was refused, or never stored. A place taken
-- again since then stays.
--
-- KEYS 1 limit:{<sender>}
-- ARGV 1 request id
-- ARGV 2… order id, when its place was taken in ms
-- REPLY ok places given back
-- BOUND 100 places
-- uses:
local order_ids = {}
for a = 2, #ARGV, 2 do
  local at = redis.call('ZSCORE', KEYS[1], ARGV[a])
  if at and tonumber(at) == tonumber(ARGV[a + 1]) then
    order_ids[#order_ids + 1] = ARGV[a]
  end
end
return { 'ok', ARGV[1], #order_ids > 0 and redis.call('ZREM', KEYS[1], unpack(order_ids)) or 0 }
