-- An order of one row is the commonest by far, so claim and settle take it without building tables. These functions only
-- look and collect; whatever is not the plain case is left to the general path, which would do the same.
local single_keys, single_outcomes, single_revisions, single_final = {}, {}, {}, {}

local function put_single(key, outcome, revision, final)
  local n = #single_keys + 1
  single_keys[n], single_outcomes[n] = key, outcome
  single_revisions[n], single_final[n] = int((tonumber(revision) or 0) + 1), final
end

-- The outcome after the only row of an order is begun; nil when it is not plainly pending.
local function begun_single(head, o)
  local attempt, flags = 0, 0
  if o then
    local s
    s, attempt, flags = byte(o, 7, 9)
    if #o ~= 18 or s ~= ROW_VERSION + PENDING or flags >= TOKEN or sub(o, 15, 18) ~= '\0\0\0\0' or sub(o, 1, 6) ~= '\0\1\0\0\0\0'
      or is_suspect(sub(o, 7, 18)) then
      return nil
    end
  end
  local seconds = since_moment(u48(head, 11))
  return '\0\0\0\1\0\0' .. char(ROW_VERSION + SENDING, (attempt + 1) % 256, flags) .. '\0\0' .. seconds .. '\0\0\0\0'
end

-- The outcome after the only row of an order, sending under attempt k, is final; nil when it is anything else.
local function settled_single(head, o, k, to, reason)
  if not o or #o ~= 18 then
    return nil
  end
  local s, q, flags = byte(o, 7, 9)
  if s ~= ROW_VERSION + SENDING or q ~= k then
    return nil
  end
  return '\0\0\0\0\0\0' .. char(ROW_VERSION + to, q, flags) .. reason .. since_moment(u48(head, 11)) .. sub(o, 15, 18)
end

-- Is this the head of an inline order this version can read?
local function plain_head(head)
  if not head or #head < 40 then
    return false
  end
  local version, layout = byte(head, 1, 2)
  return version >= HEAD_OLDEST and version <= HEAD_VERSION and layout == INLINE
end

local function write_singles()
  for n = 1, #single_keys do
    if single_final[n] then
      redis.call('HSET', single_keys[n], 'o', single_outcomes[n], 'v', single_revisions[n], 'f', now_text)
    else
      redis.call('HSET', single_keys[n], 'o', single_outcomes[n], 'v', single_revisions[n])
    end
  end
end
