-- Fires exactly one `expired` event on the given key, which must not exist. The command pairs make this work on every
-- supported server: Redis 7 and 8 fire `expired` at the first pair and `del` at the second; Valkey 8 fires nothing at
-- the first and `expired` at the second. Leaves no key behind.
local function ring_bell(key)
  redis.call('SET', key, 0, 'PXAT', 1)
  redis.call('EXISTS', key)
  redis.call('SET', key, 0)
  redis.call('PEXPIREAT', key, 1)
end
