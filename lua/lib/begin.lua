-- Begins one row: pending -> sending under the next attempt. The token of an earlier attempt is kept. `remembered`: the provider
-- drops a repeat under a token it has met, for some time from when it met it; so a repeat keeps the moment of the first attempt.
local function begin_row(parcel, i, row, token, remembered)
  local _, attempt, flags = byte(row, 1, 3)
  local value = '\0\0\0\0'
  if flags >= TOKEN then
    value = sub(row, 9, 12)
  elseif token then
    value = p32(token)
    flags = flags + TOKEN
  end
  local moment = remembered and flags % TOKEN >= REPEATED and sub(row, 6, 8) or since_due(parcel.order)
  put_row(parcel, i, PENDING, SENDING, (attempt + 1) % 256, flags, '\0\0' .. moment .. value)
end
