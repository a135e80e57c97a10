-- How a parcel leaves `leased`: back to ready when rows are pending, out of every index when all are settled. Never while
-- one of its rows is sending.
local left_members, unresolved_add, unresolved_out, ready_out = {}, {}, {}, {}

-- The earliest moment at which a pending row may be begun again, never before now.
local function first_wait(parcel)
  local first
  for i = 0, parcel.rows - 1 do
    local row = row_at(parcel, i)
    if byte(row) == ROW_VERSION + PENDING then
      local at = wait_of(parcel.order, row)
      if at <= now then
        return now
      end
      if not first or at < first then
        first = at
      end
    end
  end
  return first or now
end

-- Puts the pending rows of a parcel where couriers find them; a wait never outlasts the order.
local function back_to_ready(parcel, member, not_before)
  local order = parcel.order
  local at = math.max(first_wait(parcel), not_before or 0)
  to_ready(order.channel, order.lane, member, math.max(now, math.min(at, order.not_after)))
end

-- Keeps the index of unresolved rows in step with a touched parcel.
local function index_unresolved(parcel, member, send_by)
  if parcel.unresolved > 0 then
    unresolved_add[#unresolved_add + 1] = math.max(now, send_by or 0)
    unresolved_add[#unresolved_add + 1] = member
  else
    unresolved_out[#unresolved_out + 1] = member
  end
end

-- Answers `sending` (it stays), `ready`, or `left`. Rows of a cancelled or late order end here.
local function leave(parcel, member, not_before)
  if parcel.sending > 0 then
    return 'sending'
  end
  left_members[#left_members + 1] = member
  local order = parcel.order
  if parcel.pending > 0 and (order.cancelled or now >= order.not_after) then
    end_pending(parcel, order.cancelled and CANCELLED or EXPIRED, order.cancelled and R_CANCELLED or R_NOT_AFTER)
  end
  if parcel.pending > 0 then
    back_to_ready(parcel, member, not_before)
    return 'ready'
  end
  return 'left'
end

-- A late word ended the last pending row of a parcel nobody holds: there is nothing left to claim.
local function out_of_ready(parcel, member)
  local key = ready_key(parcel.order.channel, parcel.order.lane)
  redis.call('ZCARD', key)
  ready_out[#ready_out + 1] = { key, member }
end

-- Has the parcel nothing left to do?
local function is_done(parcel)
  return parcel.pending + parcel.sending + parcel.unresolved == 0
end

-- Writes what the functions above collected. Keys: leased, lease, unresolved.
local function write_leaving(leased, lease, unresolved)
  if #left_members > 0 then
    redis.call('ZREM', leased, unpack(left_members))
    redis.call('HDEL', lease, unpack(left_members))
  end
  if #unresolved_add > 0 then
    redis.call('ZADD', unresolved, 'GT', unpack(unresolved_add))
  end
  if #unresolved_out > 0 then
    redis.call('ZREM', unresolved, unpack(unresolved_out))
  end
  for i = 1, #ready_out do
    redis.call('ZREM', unpack(ready_out[i]))
  end
end
