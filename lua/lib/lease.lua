-- A lease record: fence, begun (0 or 1), alone (0 or 1), send_by ms, courier. Alone means that if the courier dies,
-- only this parcel can be the cause: the courier held nothing else when it claimed it, or had nothing else on the
-- wire when it began its deliveries.
local function lease_record(holder, begun, alone, send_by, courier)
  return holder .. ' ' .. begun .. ' ' .. alone .. ' ' .. int(send_by) .. ' ' .. courier
end

local function read_lease(record)
  local holder, begun, alone, send_by, courier = string.match(record, '^(%d+) (%d) (%d) (%d+) (.*)$')
  return holder or '', begun or '0', alone or '0', tonumber(send_by) or 0, courier or ''
end

-- Is this a lease record with the given fence?
local function holds(record, holder)
  return record and sub(record, 1, #holder + 1) == holder .. ' '
end
