#!lua flags=allow-oom
-- cancel: stops what can still be stopped. An order wholly in `due` ends here. Once parcels were promoted, claim and
-- begin see the mark: a parcel ends when one of them reaches it, and messages on the wire finish.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- KEYS 5 history:{p}:<order id>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 order id
-- REPLY ok deliveries cancelled or still to be, deliveries too late
-- REPLY already_done deliveries cancelled or still to be, deliveries too late; it was cancelled before
-- REPLY finished every delivery was final
-- REPLY not_found no such order
-- REPLY newer_version a record of a later version
-- REPLY unreadable a record that can't be read
-- REPLY wrong_epoch another database
-- BOUND one order, 50 inline deliveries
-- uses: binary prologue bell ready reason order deliveries
local order_id = ARGV[3]
local flat = readable(redis.pcall('HGETALL', KEYS[5]))
if not flat then
  return answer('unreadable')
end
local f = {}
for i = 1, #flat, 2 do
  f[flat[i]] = flat[i + 1]
end
if not f.h then
  return answer('not_found')
end
local err = head_error(f.h)
if err then
  return answer(err)
end
local priority_key = byte(f.h, 3) == URGENT and KEYS[3] or KEYS[4]
local due = redis.call('ZSCORE', priority_key, order_id)
local in_due = due and not f.g

-- Per channel of the record, deliveries by state.
local names, deliveries = channels_of(f.h, 35)
if not names then
  return answer('unreadable')
end
local counters = {}
local inline = byte(f.h, 2) == INLINE
local order, parcel, code
local pending, ended, all = 0, 0, 0
if inline then
  f.c = nil
  local holder = 1
  while deliveries[holder] == 0 and names[holder + 1] do
    holder = holder + 1
  end
  order, code = read_order(order_id, names[holder], f)
  if order then
    parcel, code = find_parcel(order, 0)
  end
  if not parcel then
    return answer(code == 'cancelled_before_due' and 'unreadable' or code)
  end
  pending, all = parcel.pending, parcel.deliveries
  for i = 0, all - 1 do
    if byte(delivery_at(parcel, i)) == DELIVERY_VERSION + CANCELLED then
      ended = ended + 1
    end
  end
else
  for i = 1, #names do
    local c = f['c:' .. names[i]]
    if not c or #c ~= 44 then
      return answer('unreadable')
    end
    counters[i] = c
    pending = pending + u32(c, 1)
    ended = ended + u32(c, 4 * CANCELLED + 1)
    all = all + deliveries[i]
  end
end
if f.x then
  return answer('already_done', pending + ended, all - pending - ended)
end
if f.f then
  return answer('finished')
end
local revision = (tonumber(f.v) or 0) + 1
leave_mark()
if in_due then
  redis.call('ZREM', priority_key, order_id)
  redis.call('DEL', 'delivery:' .. tag .. ':' .. order_id)
  if inline then
    redis.call('HSET', KEYS[5], 'x', now)
    end_pending(parcel, CANCELLED, R_CANCELLED)
    write_parcels()
    write_orders()
  else
    local fields = { 'x', now, 'f', now, 'l', 0, 'v', revision }
    for i = 1, #names do
      local delta = { [PENDING] = -u32(counters[i], 1), [CANCELLED] = u32(counters[i], 1) }
      fields[#fields + 1] = 'c:' .. names[i]
      fields[#fields + 1] = moved_counters(counters[i], delta)
    end
    redis.call('HSET', KEYS[5], unpack(fields))
    redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), order_id)
  end
else
  redis.call('HSET', KEYS[5], 'x', now, 'v', revision)
end
return answer('ok', pending, all - pending)
