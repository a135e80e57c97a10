-- Begins one delivery: pending -> sending under the next attempt. The token of an earlier attempt is kept.
-- `remembered`: the provider drops repeats of a token for some time after first seeing it, so a repeat keeps the
-- moment of the first attempt.
local function begin_delivery(parcel, i, delivery, token, remembered)
  local _, attempt, flags = byte(delivery, 1, 3)
  local value = '\0\0\0\0'
  if flags >= TOKEN then
    value = sub(delivery, 9, 12)
  elseif token then
    value = p32(token)
    flags = flags + TOKEN
  end
  local moment = remembered and flags % TOKEN >= REPEATED and sub(delivery, 6, 8) or since_due(parcel.order)
  put_delivery(parcel, i, PENDING, SENDING, (attempt + 1) % 256, flags, '\0\0' .. moment .. value)
end
