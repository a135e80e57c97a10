-- Begins one row: pending -> sending under the next attempt. The token of an earlier attempt is kept.
local function begin_row(parcel, i, row, token)
  local _, attempt, flags = byte(row, 1, 3)
  local value = '\0\0\0\0'
  if flags >= TOKEN then
    value = sub(row, 9, 12)
  elseif token then
    value = p32(token)
    flags = flags + TOKEN
  end
  put_row(parcel, i, PENDING, SENDING, (attempt + 1) % 256, flags, '\0\0' .. since_due(parcel.order) .. value)
end
