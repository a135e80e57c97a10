#!lua flags=allow-oom
-- purge_orders: removes the keys of orders that became final on one day, after the retention, in bounded steps. An
-- order that can't be read does not block the rest: it is parked, or, if of a later version, put on the list of the
-- current day.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 retire:{p}:<day>
-- KEYS 4 orders:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 day, days since 1970
-- ARGV 4 retention in days
-- REPLY done orders removed; the day is finished
-- REPLY more orders removed; call again
-- REPLY too_early the retention is not over
-- REPLY wrong_epoch another database
-- BOUND 500 parcels, 100 orders
-- uses: binary prologue order park delete_parcels
if (tonumber(ARGV[3]) + 1 + tonumber(ARGV[4])) * DAY > now then
  return answer('too_early')
end
redis.call('ZCARD', PARKED)
local removed, room = 0, 500

-- The lists of orders are in order of acceptance, so old orders are removed from the head. An entry behind an older
-- order that still exists waits for it; readers skip it.
local function trim(list)
  for _ = 1, 10 do
    local first = redis.call('LINDEX', list, 0)
    if not first or redis.call('EXISTS', history_key(first)) == 1 then
      return
    end
    redis.call('LPOP', list)
  end
end

for _ = 1, 100 do
  local order_id = redis.call('LINDEX', KEYS[3], 0)
  if not order_id then
    write_parked()
    return answer('done', removed)
  end
  local key = history_key(order_id)
  local r = readable(redis.pcall('HMGET', key, 'h', 'f', 'z', 't'))
  local head = r and r[1]
  local left = 0
  local err = head and head_error(head)
  local names, deliveries
  if head and not err then
    names, deliveries = channels_of(head, 35)
  end
  if err == 'newer_version' then
    redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), order_id)
  elseif r and not head and r[4] then
    -- The remains of an unreadable order that an operator ended.
    redis.call('UNLINK', key)
    removed = removed + 1
  elseif not names and (not r or head or redis.call('EXISTS', key) == 1) then
    park(nil, order_id, r and 'head' or 'type')
  elseif names and r[2] then
    if byte(head, 2) ~= INLINE then
      -- `z` counts the parcels already removed, over all channels in the order of the head.
      local gone = tonumber(r[3]) or 0
      local before, now_gone = 0, gone
      for i = 1, #names do
        local count = parcels_of(deliveries[i], false)
        local there = count - math.max(0, math.min(count, gone - before))
        local kept
        kept, room = drop_parcels(order_id, names[i], there, room)
        now_gone = now_gone + there - kept
        left = left + kept
        before = before + count
      end
      if left > 0 then
        redis.call('HSET', key, 'z', now_gone)
        write_parked()
        return answer('more', removed)
      end
    end
    redis.call('UNLINK', key, 'text:' .. tag .. ':' .. order_id, 'delivery:' .. tag .. ':' .. order_id)
    trim(KEYS[4])
    trim('sender:' .. tag .. ':' .. string.match(order_id, '^(.*):'))
    removed = removed + 1
  end
  redis.call('LPOP', KEYS[3])
end
write_parked()
return answer('more', removed)
