-- The outcomes of a parcel: 6 bytes of counts (pending, sending, unresolved; 2 each), then 12 bytes per delivery:
--   1 version x 16 + state   2 attempt (grows by one at each begin, wraps at 256)
--   3 tries spent (low 4 bits), 16 = the one repeat after an unknown is spent, 32 = the value is a token
--   4-5 reason   6-8 seconds since the due time, 0 before   9-12 a token, or for a pending delivery its wait: the time before
--   which it must not be begun again, in hundredths of a second since the due time; for a failed delivery without a
--   token the provider's code (0: none)
-- A parcel that was never begun has no record: all its deliveries are pending.
local DELIVERY_VERSION = 16
local FRESH = char(DELIVERY_VERSION) .. string.rep('\0', 11)
local REPEATED, TOKEN = 16, 32
local MAX_RUNS = 16

local touched_parcels = {}

local function parcel_deliveries(order, n)
  if order.inline then
    return n == 0 and order.deliveries or 0
  end
  return math.min(PARCEL_DELIVERIES, order.deliveries - n * PARCEL_DELIVERIES)
end

-- nil if this program can read the outcomes of this many deliveries, otherwise the reason why not. Checks only the
-- length, the first delivery and the counts; the other deliveries are checked when they are touched.
local function outcomes_error(o, deliveries)
  if #o ~= 6 + 12 * deliveries then
    return 'unreadable'
  end
  local first = byte(o, 7)
  if first >= 2 * DELIVERY_VERSION then
    return 'newer_version'
  end
  local counted = u16(o, 1) + u16(o, 3) + u16(o, 5)
  return (first < DELIVERY_VERSION or first > DELIVERY_VERSION + UNRESOLVED or counted > deliveries) and 'unreadable' or nil
end

-- The parcel n of an order, read once per call; nil, a code and a reason when there is none or its record can't be
-- read.
local function find_parcel(order, n)
  local known = order.parcels and order.parcels[n]
  if known then
    return known
  end
  local deliveries = parcel_deliveries(order, n)
  if deliveries <= 0 then
    return nil, 'unreadable', 'member'
  end
  local parcel = { order = order, n = n, deliveries = deliveries, set = {}, list = {} }
  local o
  if order.inline then
    o = order.o
  else
    parcel.key = 'outcome:' .. tag .. ':' .. order.order_id .. ':' .. order.channel .. ':' .. n
    o = readable(redis.pcall('GET', parcel.key))
    if o == nil then
      return nil, 'unreadable', 'outcomes'
    end
  end
  if o then
    local err = outcomes_error(o, deliveries)
    if err then
      return nil, err, 'outcomes'
    end
    parcel.o = o
    parcel.pending, parcel.sending, parcel.unresolved = u16(o, 1), u16(o, 3), u16(o, 5)
  elseif order.final and order.cancelled then
    return nil, 'cancelled_before_due', 'cancelled' -- cancelled before it was due: its deliveries have no record
  else
    parcel.fresh = true
    parcel.o = p16(deliveries) .. '\0\0\0\0' .. string.rep(FRESH, deliveries)
    parcel.pending, parcel.sending, parcel.unresolved = deliveries, 0, 0
  end
  order.parcels = order.parcels or {}
  order.parcels[n] = parcel
  return parcel
end

local function delivery_at(parcel, i)
  return parcel.set[i] or sub(parcel.o, 7 + 12 * i, 18 + 12 * i)
end

-- Must this pending delivery be sent alone, because its courier died while sending it?
local function is_suspect(delivery)
  return byte(delivery, 3) % TOKEN >= REPEATED and u16(delivery, 4) == R_COURIER_DIED
end

-- nil if this program knows the state of every delivery of a small parcel and the counts match them, otherwise the
-- reason why not.
local function deliveries_error(parcel)
  local found = { [PENDING] = 0, [SENDING] = 0, [UNRESOLVED] = 0 }
  for i = 0, parcel.deliveries - 1 do
    local state = byte(parcel.o, 7 + 12 * i) - DELIVERY_VERSION
    if state >= DELIVERY_VERSION then
      return 'newer_version'
    end
    if state < 0 or state > UNRESOLVED then
      return 'unreadable'
    end
    if found[state] then
      found[state] = found[state] + 1
    end
  end
  local same = found[PENDING] == parcel.pending and found[SENDING] == parcel.sending and found[UNRESOLVED] == parcel.unresolved
  return not same and 'unreadable' or nil
end

local COUNTED = { [PENDING] = 'pending', [SENDING] = 'sending', [UNRESOLVED] = 'unresolved' }

-- Replaces delivery i; the counters of parcel and order change if its state changed.
local function put_delivery(parcel, i, from, to, attempt, flags, tail)
  if from ~= to then
    local name = COUNTED[from]
    if name then
      -- Wrong counts must not stop the script here: it would already have written half of its changes.
      parcel[name] = math.max(parcel[name] - 1, 0)
    end
    name = COUNTED[to]
    if name then
      parcel[name] = parcel[name] + 1
    end
    if not parcel.order.inline then
      count_move(parcel.order, from, to)
    end
  end
  if not parcel.set[i] then
    parcel.list[#parcel.list + 1] = i
  end
  parcel.set[i] = char(DELIVERY_VERSION + to, attempt, flags) .. tail
  if not parcel.touched then
    parcel.touched = true
    touched_parcels[#touched_parcels + 1] = parcel
    touch_order(parcel.order)
  end
end

-- Seconds since the due time as 3 bytes, capped at the largest value that fits.
local function since_moment(due)
  local s = floor((now - due) / 1000)
  if s < 0 then
    s = 0
  elseif s > 16777215 then
    s = 16777215
  end
  return char(floor(s / 65536), floor(s / 256) % 256, s % 256)
end

local function since_due(order)
  return since_moment(order.due)
end

-- A moment in ms as a delivery's wait.
local function wait_value(order, at)
  local w = math.ceil((at - order.due) / 10)
  return p32(w < 0 and 0 or w > 4294967295 and 4294967295 or w)
end

-- The moment in ms before which a pending delivery must not be begun again. A delivery with a token stores it in
-- place of the moment of its last change.
local function wait_of(order, delivery)
  if byte(delivery, 3) >= TOKEN then
    return order.due + (byte(delivery, 6) * 65536 + u16(delivery, 7)) * 1000
  end
  local w = u32(delivery, 9)
  return w == 0 and 0 or order.due + w * 10
end

-- Ends all pending deliveries of a parcel in the given state.
local function end_pending(parcel, state, reason)
  local tail = p16(reason) .. since_due(parcel.order) .. '\0\0\0\0'
  for i = 0, parcel.deliveries - 1 do
    local delivery = delivery_at(parcel, i)
    local s, attempt, flags = byte(delivery, 1, 3)
    if s - DELIVERY_VERSION == PENDING then
      -- A delivery waiting for its repeat after an unknown becomes unknown: its first attempt may have arrived.
      local to = flags % TOKEN >= REPEATED and UNKNOWN or state
      put_delivery(parcel, i, PENDING, to, attempt, flags % TOKEN, tail)
    end
  end
end

-- Writes every touched parcel: adjacent deliveries together by SETRANGE, or the whole record if that takes fewer
-- calls.
local function write_parcels()
  for t = 1, #touched_parcels do
    local parcel = touched_parcels[t]
    local pending, sending, unresolved = parcel.pending, parcel.sending, parcel.unresolved
    local counts = char(
      floor(pending / 256), pending % 256, floor(sending / 256), sending % 256, floor(unresolved / 256), unresolved % 256
    )
    parcel.order.open_now = pending + sending + unresolved
    local list, set = parcel.list, parcel.set
    local order, runs = parcel.order, 1
    for k = 2, #list do
      if list[k] ~= list[k - 1] + 1 then
        runs = runs + 1
      end
    end
    if order.inline and parcel.deliveries == 1 then
      order.o = counts .. set[0]
    elseif order.inline or parcel.fresh or runs > MAX_RUNS then
      local out = { counts }
      for i = 0, parcel.deliveries - 1 do
        out[i + 2] = delivery_at(parcel, i)
      end
      local o = table.concat(out)
      if order.inline then
        order.o = o
      else
        redis.call('SET', parcel.key, o)
      end
    else
      redis.call('SETRANGE', parcel.key, 0, counts)
      local k = 1
      while k <= #list do
        local from, out = list[k], {}
        repeat
          out[#out + 1] = set[list[k]]
          k = k + 1
        until k > #list or list[k] ~= list[k - 1] + 1
        redis.call('SETRANGE', parcel.key, 6 + 12 * from, table.concat(out))
      end
    end
  end
end
