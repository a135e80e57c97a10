#!lua flags=allow-oom
-- cancel: stops what can still be stopped. An order wholly in `due` ends here; of one that was rung, claim and begin read
-- the mark, so parcels end when they are met, and what is on the wire finishes.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- KEYS 5 history:{p}:<suffix>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 suffix
-- REPLY ok rows cancelled or still to be, rows too late
-- REPLY again rows cancelled or still to be, rows too late; it was cancelled before
-- REPLY final every row was final
-- REPLY gone no such order
-- REPLY newer a record of a later version
-- REPLY bad a record that can't be read
-- REPLY epoch another database
-- BOUND one order, 50 inline rows
-- uses: num open bell ready reason order rows
local suffix = ARGV[3]
local flat = readable(redis.pcall('HGETALL', KEYS[5]))
if not flat then
  return answer('bad')
end
local f = {}
for i = 1, #flat, 2 do
  f[flat[i]] = flat[i + 1]
end
if not f.h then
  return answer('gone')
end
local flaw = head_flaw(f.h)
if flaw then
  return answer(flaw)
end
local lane_key = byte(f.h, 3) == URGENT and KEYS[3] or KEYS[4]
local due = redis.call('ZSCORE', lane_key, suffix)
local in_due = due and not f.g

-- Per channel the record holds, rows by state.
local names, rows = channels_of(f.h, 35)
if not names then
  return answer('bad')
end
local counters = {}
local inline = byte(f.h, 2) == INLINE
local order, parcel, code
local pending, ended, all = 0, 0, 0
if inline then
  f.c = nil
  local holder = 1
  while rows[holder] == 0 and names[holder + 1] do
    holder = holder + 1
  end
  order, code = read_order(suffix, names[holder], f)
  if order then
    parcel, code = find_parcel(order, 0)
  end
  if not parcel then
    return answer(code == 'final' and 'bad' or code)
  end
  pending, all = parcel.pending, parcel.rows
  for i = 0, all - 1 do
    if byte(row_at(parcel, i)) == ROW_VERSION + CANCELLED then
      ended = ended + 1
    end
  end
else
  for i = 1, #names do
    local c = f['c:' .. names[i]]
    if not c or #c ~= 44 then
      return answer('bad')
    end
    counters[i] = c
    pending = pending + u32(c, 1)
    ended = ended + u32(c, 4 * CANCELLED + 1)
    all = all + rows[i]
  end
end
if f.x then
  return answer('again', pending + ended, all - pending - ended)
end
if f.f then
  return answer('final')
end
local revision = (tonumber(f.v) or 0) + 1
leave_mark()
if in_due then
  redis.call('ZREM', lane_key, suffix)
  redis.call('DEL', 'delivery:' .. tag .. ':' .. suffix)
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
    redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), suffix)
  end
else
  redis.call('HSET', KEYS[5], 'x', now, 'v', revision)
end
return answer('ok', pending, all - pending)
