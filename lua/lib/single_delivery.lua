-- Orders of one delivery are by far the most common, so claim, settle and expire_parcels handle them without building
-- tables. These functions only read and collect; anything but the plain case is left to the general path, which would
-- do the same.
local single_keys, single_outcomes, single_revisions, single_final = {}, {}, {}, {}
local single_ended = {}

-- Collects what to write for an order of one delivery; with `final` its delivery ended, and the order with it.
local function put_single(order_id, outcome, revision, final)
  local n = #single_keys + 1
  single_keys[n], single_outcomes[n] = HISTORY .. order_id, outcome
  single_revisions[n], single_final[n] = int((tonumber(revision) or 0) + 1), final
  if final then
    single_ended[#single_ended + 1] = order_id
  end
end

-- The outcome after the only delivery of an order is begun; nil when it is not plainly pending.
local function begun_single(head, o)
  local attempt, flags = 0, 0
  if o then
    local s
    s, attempt, flags = byte(o, 7, 9)
    if #o ~= 18 or s ~= DELIVERY_VERSION + PENDING or flags >= TOKEN or sub(o, 15, 18) ~= '\0\0\0\0' or sub(o, 1, 6) ~= '\0\1\0\0\0\0'
      or is_suspect(sub(o, 7, 18)) then
      return nil
    end
  end
  local seconds = since_moment(u48(head, 11))
  return '\0\0\0\1\0\0' .. char(DELIVERY_VERSION + SENDING, (attempt + 1) % 256, flags) .. '\0\0' .. seconds .. '\0\0\0\0'
end

-- The outcome after the only delivery of an order, sending under attempt k, becomes final; nil in any other case. A
-- failed delivery keeps the provider's code in place of its token.
local function settled_single(head, o, k, to, reason, code)
  if not o or #o ~= 18 then
    return nil
  end
  local s, q, flags = byte(o, 7, 9)
  if s ~= DELIVERY_VERSION + SENDING or q ~= k then
    return nil
  end
  local kept = sub(o, 15, 18)
  if to == FAILED then
    flags, kept = flags % TOKEN, code
  end
  return '\0\0\0\0\0\0' .. char(DELIVERY_VERSION + to, q, flags) .. reason .. since_moment(u48(head, 11)) .. kept
end

-- The outcome after the only delivery of an order is ended without another try, `reason` packed; nil when it is not
-- plainly pending.
local function ended_single(head, o, to, reason)
  local attempt, flags = 0, 0
  if o then
    local s
    s, attempt, flags = byte(o, 7, 9)
    if #o ~= 18 or s ~= DELIVERY_VERSION + PENDING or flags >= REPEATED or sub(o, 1, 6) ~= '\0\1\0\0\0\0' then
      return nil
    end
  end
  local seconds = since_moment(u48(head, 11))
  return '\0\0\0\0\0\0' .. char(DELIVERY_VERSION + to, attempt, flags) .. reason .. seconds .. '\0\0\0\0'
end

-- Is this the head of an inline order that this version can read?
local function plain_head(head)
  if not head or #head < 40 then
    return false
  end
  local version, layout = byte(head, 1, 2)
  return version >= HEAD_OLDEST and version <= HEAD_VERSION and layout == INLINE
end

-- Does a plain head have one delivery on the given channel, and no other channel?
local function is_single(head, channel)
  return sub(head, 36, -5) == channel and u32(head, #head - 3) == 1
end

local function write_singles()
  for n = 1, #single_keys do
    if single_final[n] then
      redis.call('HSET', single_keys[n], 'o', single_outcomes[n], 'v', single_revisions[n], 'f', now_text)
    else
      redis.call('HSET', single_keys[n], 'o', single_outcomes[n], 'v', single_revisions[n])
    end
  end
  if #single_ended > 0 then
    redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), unpack(single_ended))
  end
end
