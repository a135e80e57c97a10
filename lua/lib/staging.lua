-- Big orders still streaming in. `staging:{p}` holds suffix -> last progress ms, 0 once given up; `staged:{p}:<suffix>`
-- counts the parcels of each channel, written in order from 0: `<channel>` those that are there, `#<channel>` those of the
-- upload whose id is in `#`.
local STAGING_SILENCE, UPLOAD = 900000, '#'

local function staged_key(suffix)
  return 'staged:' .. tag .. ':' .. suffix
end

-- Is the order still streaming in? Silent for 15 minutes, or given up, is no.
local function is_staging(staging, suffix)
  local at = redis.call('ZSCORE', staging, suffix)
  return at and tonumber(at) > now - STAGING_SILENCE
end
