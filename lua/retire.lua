#!lua flags=allow-oom
-- retire: removes the keys of orders that became final on one day, after the retention, in bounded steps. One that can't be
-- read stops nobody: it is parked, or put off by as many days as a later version asks for.
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
-- REPLY early the retention is not over
-- REPLY epoch another database
-- BOUND 500 parcels, 100 orders
-- uses: num open order park drop
if (tonumber(ARGV[3]) + 1 + tonumber(ARGV[4])) * DAY > now then
  return answer('early')
end
redis.call('ZCARD', PARKED)
local removed, room = 0, 500

-- The lists of orders are in the order of acceptance, so what is old goes from their head; an entry behind an older order
-- that still lives waits for it, and readers pass over it.
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
  local suffix = redis.call('LINDEX', KEYS[3], 0)
  if not suffix then
    write_parked()
    return answer('done', removed)
  end
  local key = history_key(suffix)
  local r = readable(redis.pcall('HMGET', key, 'h', 'f', 'z', 't'))
  local head = r and r[1]
  local left = 0
  local flaw = head and head_flaw(head)
  local names, rows
  if head and not flaw then
    names, rows = channels_of(head, 35)
  end
  if flaw == 'newer' then
    redis.call('RPUSH', 'retire:' .. tag .. ':' .. floor(now / DAY), suffix)
  elseif r and not head and r[4] then
    -- What an operator's word left of an order nobody could read.
    redis.call('UNLINK', key)
    removed = removed + 1
  elseif not names and (not r or head or redis.call('EXISTS', key) == 1) then
    park(nil, suffix, r and 'head' or 'type')
  elseif names and r[2] then
    if byte(head, 2) ~= INLINE then
      -- `z` counts the parcels already removed, over all channels in the order of the head.
      local gone = tonumber(r[3]) or 0
      local before, now_gone = 0, gone
      for i = 1, #names do
        local count = parcels_of(rows[i], false)
        local there = count - math.max(0, math.min(count, gone - before))
        local kept
        kept, room = drop_parcels(suffix, names[i], there, room)
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
    redis.call('UNLINK', key, 'text:' .. tag .. ':' .. suffix, 'delivery:' .. tag .. ':' .. suffix)
    trim(KEYS[4])
    trim('sender:' .. tag .. ':' .. string.match(suffix, '^(.*):'))
    removed = removed + 1
  end
  redis.call('LPOP', KEYS[3])
end
write_parked()
return answer('more', removed)
