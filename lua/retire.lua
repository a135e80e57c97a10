#!lua flags=allow-oom
-- retire: removes the keys of orders that became final on one day, after the retention, in bounded steps.
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
-- uses: num open order drop
if (tonumber(ARGV[3]) + 1 + tonumber(ARGV[4])) * DAY > now then
  return answer('early')
end
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
    return answer('done', removed)
  end
  local key = history_key(suffix)
  local r = redis.pcall('HMGET', key, 'h', 'f', 'z')
  local head = not r.err and r[1]
  local left = 0
  local names, rows
  if head and #head > 34 then
    names, rows = channels_of(head, 35)
  end
  if names and r[2] then
    if byte(head, 2) ~= INLINE then
      -- `z` counts the parcels already removed, over all channels in the order of the head.
      local gone = tonumber(r[3] or 0)
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
return answer('more', removed)
