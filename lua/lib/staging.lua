-- Big orders still being uploaded. `staging:{p}` holds order id -> last progress ms, 0 once given up.
-- `staged:{p}:<order id>` counts the parcels of each channel, which are written in order from 0: `<channel>` counts
-- those stored, `#<channel>` those of the upload whose id is in `#`.
local STAGING_SILENCE, UPLOAD = 900000, '#'

local function staged_key(order_id)
  return 'staged:' .. tag .. ':' .. order_id
end

-- Is the order still being uploaded? Not if it was idle for 15 minutes or given up.
local function is_staging(staging, order_id)
  local at = redis.call('ZSCORE', staging, order_id)
  return at and tonumber(at) > now - STAGING_SILENCE
end
