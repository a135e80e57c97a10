#!lua
-- enqueue: accepts an order whole: history, indexes and bell in one step. Idempotent by order id: the same digest
-- gets the same reply again. A small order carries text and deliveries in its fields; the parcels of a big one were
-- staged before and are taken over here. A small order due now is ready at once and its delivery key fires `expired`
-- here; big ones due now go through `due`.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:<priority>
-- KEYS 4 history:{p}:<order id>
-- KEYS 5 orders:{p}
-- KEYS 6 sender:{p}:<sender>
-- KEYS 7 staging:{p}
-- KEYS 8 channels:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 order id
-- ARGV 4 due ms, 0 or past for now
-- ARGV 5 priority
-- ARGV 6 what to do with unknowns: d the channel's default, r repeat once, h hold
-- ARGV 7 not_after ms, 0 for the span after the due time
-- ARGV 8 span in ms
-- ARGV 9 digest (12 bytes)
-- ARGV 10 layout: i inline, p parcels
-- ARGV 11 channels: length of name, name, deliveries (4 bytes), each
-- ARGV 12 recipients without an address, per channel of ARGV 11 (4 bytes each)
-- ARGV 13 upload id of the staged parcels, empty for an inline order
-- ARGV 14… field, value
-- REPLY due_now accepted ms, due ms, last seen ms of a courier per channel (0: never)
-- REPLY scheduled accepted ms, due ms, last seen ms of a courier per channel (0: never)
-- REPLY already_done accepted ms, due ms, last seen ms of a courier per channel (0: never)
-- REPLY conflict an order of this order id has another body
-- REPLY expires_before_due not_after is not after the due time
-- REPLY upload_lost the staged parcels are gone, or another upload took over
-- REPLY incomplete the staged parcels are not those of the order
-- REPLY invalid the order names no delivery, or is inline with deliveries on two channels
-- REPLY unreadable its history can't be read
-- REPLY wrong_epoch another database
-- BOUND one order
-- uses: binary prologue earliest bell ready order staging
local order_id, priority, digest, layout, channels = ARGV[3], ARGV[5], ARGV[9], ARGV[10], ARGV[11]
local delivery = 'delivery:' .. tag .. ':' .. order_id

local names, deliveries = channels_of(channels, 1)
local open, holders, holder = 0, 0, nil
for i = 1, names and #names or 0 do
  if deliveries[i] > 0 then
    open, holders, holder = open + deliveries[i], holders + 1, names[i]
  end
end
if open == 0 or (layout == 'i' and (holders > 1 or open > PARCEL_DELIVERIES)) then
  return answer('invalid')
end
local seen = redis.call('HMGET', KEYS[8], unpack(names))
local unknown = {}
for i = 1, #names do
  if not seen[i] then
    unknown[#unknown + 1] = names[i]
    unknown[#unknown + 1] = 0
  end
  seen[i] = tonumber(seen[i] or 0)
end

local stored = readable(redis.pcall('HMGET', KEYS[4], 'h', 't'))
if not stored then
  return answer('unreadable')
end
local known = stored[1]
if not known and stored[2] then
  -- An order with this id could not be read and was ended by an operator: it is not sent after all.
  return answer('conflict')
end
if known then
  if head_error(known) then
    return answer('unreadable')
  end
  if sub(known, 23, 34) ~= digest then
    return answer('conflict')
  end
  return answer('already_done', u48(known, 5), u48(known, 11), seen)
end

local due = tonumber(ARGV[4])
local for_now = due <= now
if for_now then
  due = now
end
local not_after = tonumber(ARGV[7])
if not_after == 0 then
  not_after = due + tonumber(ARGV[8])
end
if not_after <= due then
  return answer('expires_before_due')
end
local big = layout == 'p'
if big then
  if not is_staging(KEYS[7], order_id) then
    return answer('upload_lost')
  end
  local staged = staged_key(order_id)
  if redis.call('HGET', staged, UPLOAD) ~= ARGV[13] then
    return answer('upload_lost')
  end
  for i = 1, #names do
    local found = redis.call('HMGET', staged, UPLOAD .. names[i], names[i])
    local parcels = parcels_of(deliveries[i], false)
    if tonumber(found[1] or 0) ~= parcels or tonumber(found[2] or 0) ~= parcels then
      return answer('incomplete')
    end
  end
  if redis.call('HLEN', staged) ~= 2 * holders + 1 then
    return answer('incomplete')
  end
end
redis.call('LLEN', KEYS[5])
redis.call('LLEN', KEYS[6])
local head_of_due = earliest(KEYS[3])
if for_now and not big then
  to_ready(holder, priority, order_id .. ':0', due)
end

local fields = {
  'h', char(HEAD_VERSION) .. layout .. sub(priority, 1, 1) .. ARGV[6] .. p48(now) .. p48(due) .. p48(not_after) .. digest .. channels,
}
for a = 14, #ARGV do
  fields[#fields + 1] = ARGV[a]
end
for i = 1, #names do
  local without = sub(ARGV[12], i * 4 - 3, i * 4)
  if big then
    fields[#fields + 1] = 'c:' .. names[i]
    fields[#fields + 1] = p32(deliveries[i]) .. string.rep('\0', 36) .. without
  elseif without ~= '\0\0\0\0' then
    fields[#fields + 1] = 'n:' .. names[i]
    fields[#fields + 1] = u32(without, 1)
  end
end
if big then
  fields[#fields + 1] = 'l'
  fields[#fields + 1] = open
end
leave_mark()
if #unknown > 0 then
  -- Registers channels that no courier has served yet, so that housekeeping covers them from now on.
  redis.call('HSET', KEYS[8], unpack(unknown))
end
redis.call('HSET', KEYS[4], unpack(fields))
redis.call('RPUSH', KEYS[5], order_id)
redis.call('RPUSH', KEYS[6], order_id)
if big then
  redis.call('ZREM', KEYS[7], order_id)
  redis.call('UNLINK', staged_key(order_id))
end
if for_now and not big then
  write_ready(true)
  ring_bell(delivery)
else
  redis.call('ZADD', KEYS[3], due, order_id)
  if for_now then
    ring_bell(delivery)
  else
    redis.call('SET', delivery, 0, 'PXAT', due)
    if head_of_due == 0 or due < head_of_due then
      ring_bell('bell:' .. tag)
    end
  end
end
return answer(for_now and 'due_now' or 'scheduled', now, due, seen)
