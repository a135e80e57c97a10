-- The history of an order: its packed head, its counters, and a single write per script call however many parcels
-- were touched.
--
-- Head `h`: version, layout (i inline, p parcels), priority (u, b), policy (d, r, h), accepted ms (6), due ms (6),
-- not_after ms (6), digest (12), then per channel: length of the name, name, deliveries (4).
-- Other fields: `v` revision, `x` cancelled ms, `f` final ms, `g` parcels promoted, `l` open deliveries,
-- `c:<channel>` counters: eleven numbers of 4 bytes (one per state, then no_contact), `o` outcomes and `b0…` text and
-- deliveries of an inline order.
local PENDING, SENDING, SENT, DELIVERED, FAILED, UNKNOWN = 0, 1, 2, 3, 4, 5
local SUPPRESSED, EXPIRED, CANCELLED, UNRESOLVED = 6, 7, 8, 9
local HEAD_OLDEST, HEAD_VERSION, PARCEL_DELIVERIES, MOST_DELIVERIES = 1, 1, 500, 10000000
local DAY = 86400000
-- A record of a later version is left to a program that can read it; this program looks at it again after this many
-- ms.
local NEWER_WAIT = 10000
local INLINE, PARCELS, URGENT = 105, 112, 117 -- 'i', 'p', 'u'

local orders, touched_orders = {}, {}
local HISTORY = 'history:' .. tag .. ':'

local function history_key(order_id)
  return HISTORY .. order_id
end

-- The reply of a read through redis.pcall; nil when the key has another type, so that the record can't be read. Every
-- other error (a slot being moved, a replica, a missing permission) says nothing about the record and ends the
-- script.
local function readable(reply)
  if type(reply) ~= 'table' or not reply.err then
    return reply
  end
  if sub(reply.err, 1, 9) ~= 'WRONGTYPE' then
    error(reply)
  end
  return nil
end

-- nil if this program can read the head, otherwise the reason why not.
local function head_error(head)
  local version = byte(head, 1) or 0
  if version > HEAD_VERSION then
    return 'newer_version'
  end
  local layout = byte(head, 2)
  return (version < HEAD_OLDEST or #head < 39 or (layout ~= INLINE and layout ~= PARCELS)) and 'unreadable' or nil
end

-- Is this a valid channel name?
local function is_channel(name)
  return #name <= 32 and string.find(name, '^[a-z][a-z0-9_]*$')
end

-- Names and deliveries of the channels of a head, from position `at` on; nil when the head is truncated, has no
-- channels, or has an invalid one.
local function channels_of(head, at)
  local names, deliveries = {}, {}
  while at <= #head do
    local length = byte(head, at)
    if #head < at + length + 4 then
      return nil
    end
    names[#names + 1] = sub(head, at + 1, at + length)
    deliveries[#deliveries + 1] = u32(head, at + length + 1)
    if not is_channel(names[#names]) or deliveries[#deliveries] > MOST_DELIVERIES then
      return nil
    end
    at = at + length + 5
  end
  return names[1] and names, deliveries
end

-- Deliveries of one channel; 0 when the order has none there or the head is truncated.
local function channel_deliveries(head, channel)
  local at = 35
  while at <= #head do
    local length = byte(head, at)
    if sub(head, at + 1, at + length) == channel then
      return #head < at + length + 4 and 0 or u32(head, at + length + 1)
    end
    at = at + length + 5
  end
  return 0
end

-- Parcels of a channel with this many deliveries. A small order has one channel with deliveries, and one parcel
-- there.
local function parcels_of(deliveries, inline)
  return inline and math.min(deliveries, 1) or math.ceil(deliveries / PARCEL_DELIVERIES)
end

-- Whether a score is a non-negative number no greater than `latest`. Scores written by other programs may be invalid.
local function is_moment(score, latest)
  local at = tonumber(score)
  return at and at >= 0 and at <= latest
end

-- An order built from its fields; nil, a code and a reason when this version can't read the record.
local function read_order(order_id, channel, f)
  local head = f.h
  if not head then
    -- A record that lost its head can't be read; one with no fields left is gone.
    local rest = f.o or f.v or f.c or f.l or f.b0
    return nil, rest and 'unreadable' or 'not_found', 'head'
  end
  local err = head_error(head)
  if err then
    return nil, err, 'head'
  end
  local _, layout, priority, policy = byte(head, 1, 4)
  local deliveries = channel_deliveries(head, channel)
  local order = {
    order_id = order_id,
    channel = channel,
    inline = layout == INLINE,
    priority = priority == URGENT and 'urgent' or 'bulk',
    policy = policy,
    due = u48(head, 11),
    not_after = u48(head, 17),
    deliveries = deliveries,
    cancelled = f.x,
    final = f.f,
    o = f.o,
    c = f.c,
    open = f.l,
    revision = f.v,
    parcels = false,
    delta = false,
  }
  if deliveries == 0 or (order.inline and deliveries > PARCEL_DELIVERIES) then
    return nil, 'unreadable', 'head'
  end
  if not order.inline and (not order.c or #order.c ~= 44 or not is_moment(order.open, 4294967295)) then
    return nil, 'unreadable', 'counters'
  end
  orders[order_id] = order
  return order
end

-- Looks up an order, once per call. Only reads, so a key of a wrong type yields a code and does not stop the script.
local function find_order(order_id, channel)
  local known = orders[order_id]
  if known then
    return known
  end
  local r = readable(redis.pcall('HMGET', HISTORY .. order_id, 'h', 'o', 'v', 'x', 'f', 'l', 'c:' .. channel))
  if not r then
    return nil, 'unreadable', 'type'
  end
  return read_order(order_id, channel, { h = r[1], o = r[2], v = r[3], x = r[4], f = r[5], l = r[6], c = r[7] })
end

-- Splits a member of an index into order id and parcel number.
local function split_member(member)
  if sub(member, -2) == ':0' then
    return sub(member, 1, -3), 0
  end
  local order_id, n = string.match(member, '^(.+):(%d+)$')
  return order_id, tonumber(n)
end

-- Counts a delivery that moved from one state to another. Called only when the stored state changes.
local function count_move(order, from, to)
  local d = order.delta
  if not d then
    d = {}
    order.delta = d
  end
  d[from] = (d[from] or 0) - 1
  d[to] = (d[to] or 0) + 1
end

local function touch_order(order)
  if not order.touched then
    order.touched = true
    touched_orders[#touched_orders + 1] = order
  end
end

local function moved_counters(c, delta)
  local out = {}
  for state = 0, 10 do
    out[state + 1] = p32(u32(c, state * 4 + 1) + (delta[state] or 0))
  end
  return table.concat(out)
end

-- Writes every touched history once; an order whose last delivery became final is put on the retirement list.
local function write_orders()
  local ended
  for i = 1, #touched_orders do
    local order = touched_orders[i]
    local key = HISTORY .. order.order_id
    local open
    local revision = int((tonumber(order.revision) or 0) + 1)
    if order.inline then
      open = order.open_now
    else
      local d = order.delta or {}
      open = tonumber(order.open) + (d[PENDING] or 0) + (d[SENDING] or 0) + (d[UNRESOLVED] or 0)
    end
    local ends = open == 0 and not order.final
    if order.inline then
      if ends then
        redis.call('HSET', key, 'o', order.o, 'v', revision, 'f', now_text)
      else
        redis.call('HSET', key, 'o', order.o, 'v', revision)
      end
    else
      local c = moved_counters(order.c, order.delta or {})
      if ends then
        redis.call('HSET', key, 'c:' .. order.channel, c, 'l', int(open), 'v', revision, 'f', now_text)
      else
        redis.call('HSET', key, 'c:' .. order.channel, c, 'l', int(open), 'v', revision)
      end
    end
    if ends then
      ended = ended or {}
      ended[#ended + 1] = order.order_id
    end
  end
  if ended then
    redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), unpack(ended))
  end
  return ended and #ended or 0
end
