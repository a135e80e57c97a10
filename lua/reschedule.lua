#!lua flags=allow-oom
-- reschedule: moves an order that is wholly in `due` and not yet due to another time; its bell moves with it. It
-- moves the order only if its revision is the one the caller read, so that a late copy of a call moves nothing back.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- KEYS 5 history:{p}:<order id>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 order id
-- ARGV 4 new due ms
-- ARGV 5 new not_after ms, 0 to keep the span between due time and end
-- ARGV 6 revision of the order as the caller read it
-- REPLY ok due ms, not_after ms
-- REPLY started its time has come, or parcels are on their way
-- REPLY changed revision, due ms, not_after ms; it changed since it was read
-- REPLY cancelled it was cancelled
-- REPLY finished every delivery is final
-- REPLY expires_before_due not_after is not after the new time
-- REPLY not_found no such order
-- REPLY newer_version a record of a later version
-- REPLY unreadable a record that can't be read
-- REPLY wrong_epoch another database
-- BOUND one order
-- uses: binary prologue earliest bell order
local order_id = ARGV[3]
local r = readable(redis.pcall('HMGET', KEYS[5], 'h', 'x', 'f', 'g', 'v'))
if not r then
  return answer('unreadable')
end
local head = r[1]
if not head then
  return answer('not_found')
end
local err = head_error(head)
if err then
  return answer(err)
end
if r[2] then
  return answer('cancelled')
end
if r[3] then
  return answer('finished')
end
local key = byte(head, 3) == URGENT and KEYS[3] or KEYS[4]
local due = redis.call('ZSCORE', key, order_id)
if not due or r[4] or tonumber(due) <= now then
  return answer('started')
end
local revision = tonumber(r[5]) or 0
if revision ~= tonumber(ARGV[6]) then
  return answer('changed', revision, u48(head, 11), u48(head, 17))
end
local new_due = math.max(tonumber(ARGV[4]), now)
local not_after = tonumber(ARGV[5])
if not_after == 0 then
  not_after = new_due + u48(head, 17) - u48(head, 11)
end
if not_after <= new_due then
  return answer('expires_before_due')
end
local first = earliest(key)
leave_mark()
redis.call('HSET', KEYS[5], 'h', sub(head, 1, 10) .. p48(new_due) .. p48(not_after) .. sub(head, 23),
  'v', revision + 1)
redis.call('ZADD', key, new_due, order_id)
local delivery = 'delivery:' .. tag .. ':' .. order_id
if new_due > now then
  redis.call('SET', delivery, 0, 'PXAT', new_due)
else
  redis.call('DEL', delivery)
  ring_bell(delivery)
end
if new_due < first then
  ring_bell('bell:' .. tag)
end
return answer('ok', new_due, not_after)
