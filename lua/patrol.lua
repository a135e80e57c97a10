#!lua flags=allow-oom
-- patrol: walks the list of orders and names those whose record and indexes may disagree, for audit to look at: open orders
-- of one parcel that no index names, and big ones on their way. Changes nothing.
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
-- REPLY ok position to go on from (0: at the end), suffixes
-- REPLY epoch another database
-- BOUND 500 orders
-- uses: num open order
local from, limit = tonumber(ARGV[3]), tonumber(ARGV[4])
local suffixes = redis.call('LRANGE', KEYS[5], from, from + limit - 1)
local named = {}

-- Does an index name the only parcel of an inline order, and its unresolved rows?
local function is_indexed(head, o, member)
  local names, rows = channels_of(head, 35)
  local channel
  for i = 1, names and #names or 0 do
    channel = rows[i] > 0 and names[i] or channel
  end
  if not channel then
    return false
  end
  local lane = byte(head, 3) == URGENT and 'urgent' or 'bulk'
  local pending, unresolved = 1, 0
  if o and #o >= 6 then
    pending, unresolved = u16(o, 1) + u16(o, 3), u16(o, 5)
  end
  local ready = 'ready:' .. tag .. ':' .. channel .. ':' .. lane
  if pending > 0 and not redis.call('ZSCORE', ready, member)
    and not redis.call('ZSCORE', 'leased:' .. tag .. ':' .. channel, member) then
    return false
  end
  return unresolved == 0 or redis.call('ZSCORE', 'unresolved:' .. tag .. ':' .. channel, member)
end

for i = 1, #suffixes do
  local suffix = suffixes[i]
  local r = redis.pcall('HMGET', history_key(suffix), 'h', 'f', 'o')
  local head = not r.err and r[1]
  if head and #head > 34 and byte(head, 1) == HEAD_VERSION and not r[2] then
    local due = redis.call('ZSCORE', byte(head, 3) == URGENT and KEYS[3] or KEYS[4], suffix)
    if not due and not (byte(head, 2) == INLINE and is_indexed(head, r[3], suffix .. ':0')) then
      named[#named + 1] = suffix
    end
  end
end
return answer('ok', #suffixes < limit and 0 or from + limit, named)
