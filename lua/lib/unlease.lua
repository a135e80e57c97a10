-- How a parcel leaves `leased`: back to ready when deliveries are pending, out of every index when all are settled.
-- Never while one of its deliveries is sending.
local unleased_members, ready_out = {}, {}
local unresolved_members, unresolved_at = {}, {}

-- The earliest moment at which a pending delivery may be begun: its due time, or the end of its wait.
local function first_wait(parcel)
  local first
  local due = parcel.order.due
  for i = 0, parcel.deliveries - 1 do
    local delivery = delivery_at(parcel, i)
    if byte(delivery) == DELIVERY_VERSION + PENDING then
      local at = wait_of(parcel.order, delivery)
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

-- Puts a parcel with pending deliveries back into ready; a wait never outlasts the order. `keeps_place`: it goes
-- before parcels that came after it, however long they have waited; otherwise behind all that are waiting now.
local function back_to_ready(parcel, member, not_before, keeps_place)
  local order = parcel.order
  local at = math.max(first_wait(parcel), not_before or 0)
  to_ready(order.channel, order.priority, member, math.max(keeps_place and 0 or now, math.min(at, order.not_after)))
end

-- Keeps the index of unresolved deliveries in step with a touched parcel. A call may name one parcel twice: one
-- report resolves its last unresolved delivery, another makes one unresolved again. The state after the last report
-- counts.
local function index_unresolved(parcel, member, send_by)
  local known = unresolved_at[member]
  if known == nil then
    unresolved_members[#unresolved_members + 1] = member
  end
  unresolved_at[member] = parcel.unresolved > 0 and math.max(now, send_by or 0, known or 0)
end

-- Takes a parcel out of the index of unresolved deliveries, whatever it holds: it is parked or ended.
local function out_of_unresolved(member)
  if unresolved_at[member] == nil then
    unresolved_members[#unresolved_members + 1] = member
  end
  unresolved_at[member] = false
end

-- Returns `sending` (it stays), `ready`, or `settled` (no delivery is pending). Pending deliveries of a cancelled or
-- expired order end here.
local function end_lease(parcel, member, not_before, keeps_place)
  if parcel.sending > 0 then
    return 'sending'
  end
  unleased_members[#unleased_members + 1] = member
  local order = parcel.order
  if parcel.pending > 0 and (order.cancelled or now >= order.not_after) then
    end_pending(parcel, order.cancelled and CANCELLED or EXPIRED, order.cancelled and R_CANCELLED or R_EXPIRED)
  end
  if parcel.pending > 0 then
    back_to_ready(parcel, member, not_before, keeps_place)
    return 'ready'
  end
  return 'settled'
end

-- A late report ended the last pending delivery of a parcel that is not leased: there is nothing left to claim.
local function out_of_ready(parcel, member)
  local key = ready_key(parcel.order.channel, parcel.order.priority)
  redis.call('ZCARD', key)
  ready_out[#ready_out + 1] = { key, member }
end

-- Has the parcel no open delivery left?
local function is_done(parcel)
  return parcel.pending + parcel.sending + parcel.unresolved == 0
end

-- Writes what the functions above collected. Keys: leased, lease, unresolved.
local function write_leaving(leased, lease, unresolved)
  if #unleased_members > 0 then
    redis.call('ZREM', leased, unpack(unleased_members))
    redis.call('HDEL', lease, unpack(unleased_members))
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
