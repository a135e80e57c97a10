#!lua flags=allow-oom
-- scan_orders: walks the list of orders and returns those whose record and indexes may disagree, for repair_indexes
-- to check: open orders of one parcel that no index contains, big orders that left `due`, and those with a score at which
-- nothing would claim them. Orders whose head can't be read are parked.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- KEYS 5 orders:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 position in the list to go on from
-- ARGV 4 orders at most
-- REPLY ok position to go on from (0: at the end), order ids
-- REPLY wrong_epoch another database
-- BOUND 500 orders
-- uses: binary prologue order park
local from, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local order_ids = redis.call('LRANGE', KEYS[5], from, from + limit - 1)
local named = {}

-- Do the indexes contain the only parcel of an inline order, and its unresolved deliveries?
local function is_indexed(head, names, deliveries, o, member)
  local channel
  for i = 1, #names do
    channel = deliveries[i] > 0 and names[i] or channel
  end
  if not channel then
    return false
  end
  if redis.call('ZSCORE', PARKED .. ':' .. channel, member) then
    return true
  end
  local latest = u48(head, 17) + DAY
  local priority = byte(head, 3) == URGENT and 'urgent' or 'bulk'
  local pending, unresolved = 1, 0
  if o and #o >= 6 then
    pending, unresolved = u16(o, 1) + u16(o, 3), u16(o, 5)
  end
  local ready = 'ready:' .. tag .. ':' .. channel .. ':' .. priority
  if pending > 0 and not is_moment(redis.call('ZSCORE', ready, member) or nil, latest)
    and not is_moment(redis.call('ZSCORE', 'leased:' .. tag .. ':' .. channel, member) or nil, now + DAY) then
    return false
  end
  return unresolved == 0
    or is_moment(redis.call('ZSCORE', 'unresolved:' .. tag .. ':' .. channel, member) or nil, latest)
end

local is_parked = redis.call('ZCARD', PARKED) > 0
for i = 1, #order_ids do
  local order_id = order_ids[i]
  local r = readable(redis.pcall('HMGET', history_key(order_id), 'h', 'f', 'o', 't'))
  local head = r and r[1]
  local err = head and head_error(head)
  local names, deliveries
  if head and not err then
    names, deliveries = channels_of(head, 35)
  end
  if names and not r[2] then
    local due = redis.call('ZSCORE', byte(head, 3) == URGENT and KEYS[3] or KEYS[4], order_id)
    local waits = due and is_moment(due, math.max(now, u48(head, 11)) + DAY)
    if not waits and not (not due and byte(head, 2) == INLINE and is_indexed(head, names, deliveries, r[3], order_id .. ':0')) then
      named[#named + 1] = order_id
    end
  elseif not names and err ~= 'newer_version' and string.find(order_id, '^[%w_-]+:%d+$') then
    -- A record ended by an operator no longer has a head, but a field that says so.
    local is_gone = r and not head and (r[4] or redis.call('EXISTS', history_key(order_id)) == 0)
    if not is_gone and not (is_parked and redis.call('ZSCORE', PARKED, order_id)) then
      park(nil, order_id, r and 'head' or 'type')
    end
  end
end
write_parked()
return answer('ok', #order_ids < limit and 0 or from + limit, named)
