#!lua
-- put_alias: stores the order of a short name for an hour. Names share hashes: one for each ten minutes, eight in a
-- cycle, so that only a few keys are volatile however many names are stored, and each hash has expired before its
-- turn comes again. A name has one order, so a repeat or a late copy writes the same value.
--
-- KEYS 1… order-names:{n<shard>}:<place in the circle>
-- ARGV 1 request id
-- ARGV 2 name
-- ARGV 3 order
-- REPLY ok
-- BOUND eight keys
-- uses: binary
local span = floor(redis.call('TIME')[1] / 600)
local at = span % 8 + 1
for i = 1, 8 do
  if i ~= at then
    redis.call('HDEL', KEYS[i], ARGV[2])
  end
end
redis.call('HSET', KEYS[at], ARGV[2], ARGV[3])
redis.call('PEXPIREAT', KEYS[at], int((span + 7) * 600000))
return { 'ok', ARGV[1] }
