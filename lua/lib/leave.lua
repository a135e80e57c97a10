-- How a parcel leaves `leased`: back to ready when rows are pending, out of every index when all are settled. Never while
-- one of its rows is sending.
local left_members, ready_out = {}, {}
local unresolved_members, unresolved_at = {}, {}

-- The earliest moment at which a pending row may or might be begun: its due time, or the end of its wait.
local function first_wait(parcel)
  local first
  local due = parcel.order.due
  for i = 0, parcel.rows - 1 do
    local row = row_at(parcel, i)
    if byte(row) == ROW_VERSION + PENDING then
      local at = wait_of(parcel.order, row)
      if at <= due then
        return due
      end
      if not first or at < first then
        first = at
      end
    end
  end
  return first or due
end

-- Puts the pending rows of a parcel where couriers find them; a wait never outlasts the order. `keeps_place`: before what
-- came after it, however long that waits; else behind all that waits now.
local function back_to_ready(parcel, member, not_before, keeps_place)
  local order = parcel.order
  local at = math.max(first_wait(parcel), not_before or 0)
  to_ready(order.channel, order.lane, member, math.max(keeps_place and 0 or now, math.min(at, order.not_after)))
end

-- Keeps the index of unresolved rows in step with a touched parcel. One parcel may be named twice in a call, by a report that
-- resolves its last unresolved row and by another that makes one anew: how it stands after the last of them is what counts.
local function index_unresolved(parcel, member, send_by)
  local known = unresolved_at[member]
  if known == nil then
    unresolved_members[#unresolved_members + 1] = member
  end
  unresolved_at[member] = parcel.unresolved > 0 and math.max(now, send_by or 0, known or 0)
end

-- Takes a parcel out of the index of unresolved rows, whatever it holds: it is parked or ended.
local function out_of_unresolved(member)
  if unresolved_at[member] == nil then
    unresolved_members[#unresolved_members + 1] = member
  end
  unresolved_at[member] = false
end

-- Answers `sending` (it stays), `ready`, or `left`. Rows of a cancelled or late order end here.
local function leave(parcel, member, not_before, keeps_place)
  if parcel.sending > 0 then
    return 'sending'
  end
  left_members[#left_members + 1] = member
  local order = parcel.order
  if parcel.pending > 0 and (order.cancelled or now >= order.not_after) then
    end_pending(parcel, order.cancelled and CANCELLED or EXPIRED, order.cancelled and R_CANCELLED or R_NOT_AFTER)
  end
  if parcel.pending > 0 then
    back_to_ready(parcel, member, not_before, keeps_place)
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
  local unresolved_add, unresolved_out = {}, {}
  for i = 1, #unresolved_members do
    local member = unresolved_members[i]
    local at = unresolved_at[member]
    if at then
      unresolved_add[#unresolved_add + 1] = int(at)
      unresolved_add[#unresolved_add + 1] = member
    else
      unresolved_out[#unresolved_out + 1] = member
    end
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
