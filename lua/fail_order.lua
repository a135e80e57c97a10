#!lua flags=allow-oom
-- fail_order: ends an order whose record can't be read, at an operator's request. Its keys are removed in bounded
-- steps; its history keeps only when and why (`t`: why, ms) until the retention is over. Entries its parcels left in
-- indexes are dropped when a script reaches them.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- KEYS 5 history:{p}:<order id>
-- KEYS 6 parked:{p}
-- KEYS 7 parked_why:{p}
-- KEYS 8 channels:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 order id
-- ARGV 4 channel to go on from, empty at first
-- ARGV 5 parcel to go on from
-- ARGV 6 1 to end it though its head can be read, because a parcel of it can't
-- REPLY ok it is ended
-- REPLY already_done it was ended before
-- REPLY more channel and parcel to go on from
-- REPLY readable its head can be read: nothing was done
-- REPLY not_found no such order
-- REPLY newer_version a record of a later version: a newer program can read it
-- REPLY wrong_epoch another database
-- BOUND 250 parcels
-- uses: binary prologue order
local order_id, from_channel, from, forced = ARGV[3], ARGV[4], tonumber(ARGV[5]), ARGV[6] == '1'
local r = readable(redis.pcall('HMGET', KEYS[5], 'h', 't'))
local head = r and r[1]
if r and not head and r[2] then
  return answer('already_done')
end
if r and not head and redis.call('EXISTS', KEYS[5]) == 0 then
  return answer('not_found')
end
local err = head and head_error(head)
if err == 'newer_version' then
  return answer('newer_version')
end
local names = head and not err and channels_of(head, 35) or nil
if names and not forced then
  return answer('readable')
end
redis.call('ZCARD', KEYS[3])
redis.call('ZCARD', KEYS[4])
redis.call('ZCARD', KEYS[6])
redis.call('HLEN', KEYS[7])
names = names or redis.call('HKEYS', KEYS[8])
table.sort(names)
local doomed, why = {}, redis.call('HGET', KEYS[7], order_id) or 'parcel'
for i = 1, #names do
  local channel = names[i]
  if is_channel(channel) and channel >= from_channel then
    local n = channel == from_channel and from or 0
    local rest = tag .. ':' .. order_id .. ':' .. channel .. ':'
    while redis.call('EXISTS', 'parcel:' .. rest .. n, 'outcome:' .. rest .. n) > 0 do
      doomed[#doomed + 1] = 'parcel:' .. rest .. n
      doomed[#doomed + 1] = 'outcome:' .. rest .. n
      n = n + 1
      if #doomed >= 500 then
        redis.call('UNLINK', unpack(doomed))
        return answer('more', channel, n)
      end
    end
  end
end
leave_mark()
if #doomed > 0 then
  redis.call('UNLINK', unpack(doomed))
end
redis.call('UNLINK', KEYS[5], 'text:' .. tag .. ':' .. order_id, 'delivery:' .. tag .. ':' .. order_id)
redis.call('HSET', KEYS[5], 't', why .. ' ' .. now_text)
redis.call('ZREM', KEYS[3], order_id)
redis.call('ZREM', KEYS[4], order_id)
redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), order_id)
redis.call('ZREM', KEYS[6], order_id)
redis.call('HDEL', KEYS[7], order_id)
return answer('ok')
