-- Removes parcels and outcomes of a channel, the last ones first, at most `room` of them. Returns how many are left.
local function drop_parcels(order_id, channel, count, room)
  local doomed = {}
  while count > 0 and room > 0 do
    count = count - 1
    room = room - 1
    local rest = tag .. ':' .. order_id .. ':' .. channel .. ':' .. count
    doomed[#doomed + 1] = 'parcel:' .. rest
    doomed[#doomed + 1] = 'outcome:' .. rest
  end
  if #doomed > 0 then
    redis.call('UNLINK', unpack(doomed))
  end
  return count, room
end
