#!lua flags=allow-oom
-- measure_backlog: walks what is due on a channel and not sent: parcels that are ready or leased, and orders that are
-- due and not promoted. Counts their deliveries that are pending or sending, and finds when the oldest was due: the
-- due time of its order, whatever was tried since. Writes nothing. Records that can't be read are passed over.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 ready:{p}:<channel>:urgent
-- KEYS 4 ready:{p}:<channel>:bulk
-- KEYS 5 leased:{p}:<channel>
-- KEYS 6 due:{p}:urgent
-- KEYS 7 due:{p}:bulk
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 index to go on from: 3 to 7, as the keys are numbered
-- ARGV 5 rank in it to go on from
-- ARGV 6 members at most
-- REPLY ok index to go on from (0: at the end), rank, deliveries, due time of the oldest in ms (0: none)
-- REPLY wrong_epoch another database
-- BOUND 500 members
-- uses: binary prologue order
local channel, index, rank, room = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local FIRST_DUE, LAST = 6, 7
local deliveries, oldest = 0, 0

-- n: the number of a parcel; false: the whole order.
local function measure(order_id, n)
  local r = readable(redis.pcall('HMGET', history_key(order_id), 'h', 'o', 'x', 'f'))
  local head = r and r[1]
  if not head or r[3] or r[4] or head_error(head) then
    return
  end
  local due, open = u48(head, 11), channel_deliveries(head, channel)
  if open == 0 or due > now then
    return
  end
  if n then
    local o = r[2]
    if byte(head, 2) == PARCELS then
      open = math.min(PARCEL_DELIVERIES, open - n * PARCEL_DELIVERIES)
      o = readable(redis.pcall('GET', 'outcome:' .. tag .. ':' .. order_id .. ':' .. channel .. ':' .. n))
    end
    if o and #o >= 6 then
      open = u16(o, 1) + u16(o, 3)
    end
  end
  if open > 0 then
    deliveries = deliveries + open
    if oldest == 0 or due < oldest then
      oldest = due
    end
  end
end

while index > 0 and room > 0 do
  local last = index < FIRST_DUE and '+inf' or now_text
  local is_index = redis.call('TYPE', KEYS[index]).ok == 'zset'
  local members = is_index and redis.call('ZRANGEBYSCORE', KEYS[index], '-inf', last, 'LIMIT', rank, room) or {}
  for i = 1, #members do
    if index < FIRST_DUE then
      local order_id, n = string.match(members[i], '^(.+):(%d+)$')
      if order_id then
        measure(order_id, tonumber(n))
      end
    else
      measure(members[i], false)
    end
  end
  rank = rank + #members
  if #members < room then
    index, rank = index < LAST and index + 1 or 0, 0
  end
  room = room - #members
end
return answer('ok', index, rank, deliveries, oldest)
