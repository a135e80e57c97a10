-- The earliest of the heads of the given sorted sets, in ms; 0 when all are empty.
local function earliest(...)
  local first = 0
  local keys = { ... }
  for i = 1, #keys do
    local head = redis.call('ZRANGE', keys[i], 0, 0, 'WITHSCORES')
    if head[1] then
      local at = tonumber(head[2])
      if first == 0 or at < first then
        first = at
      end
    end
  end
  return first
end
