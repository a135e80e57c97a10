-- The earliest of the first scores of the given sorted sets, in ms; 0 when all are empty. A score that is not a valid
-- time, which Posthaste never writes, counts as the earliest or latest possible time.
local LAST_MOMENT = 281474976710655
local function earliest(...)
  local first = 0
  local keys = { ... }
  for i = 1, #keys do
    local head = redis.call('ZRANGE', keys[i], 0, 0, 'WITHSCORES')
    if head[1] then
      local at = tonumber(head[2]) or LAST_MOMENT
      at = at > LAST_MOMENT and LAST_MOMENT or at < 1 and 1 or at
      if first == 0 or at < first then
        first = at
      end
    end
  end
  return first
end
