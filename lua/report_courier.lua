#!lua flags=allow-oom
-- report_courier: stores what a courier says about itself, for as long as the report holds. Reports are numbered: a
-- late copy of an earlier one changes nothing. Reports whose time is over are removed, 20 at most in a call.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 courier_states:{p}
-- KEYS 4 courier_ends:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 channel
-- ARGV 4 courier id
-- ARGV 5 number of the report, growing
-- ARGV 6 state, or empty: the courier has ended
-- ARGV 7 ms until the state may end by itself, 0: not known
-- ARGV 8 ms for which the report holds
-- ARGV 9 why, in words
-- REPLY ok since when it is in this state, in ms
-- REPLY outdated this report or a later one was stored before
-- REPLY wrong_epoch another database
-- BOUND 20 reports removed
-- uses: binary prologue
local field, number, state = ARGV[3] .. ':' .. ARGV[4], tonumber(ARGV[5]), ARGV[6]
local last = redis.call('HGET', KEYS[3], field)
local over = redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', now_text, 'LIMIT', 0, 20)
local since = now
if last then
  local last_number, last_state, last_since = string.match(last, '^(%d+) (%a+) (%d+) ')
  if last_number and tonumber(last_number) >= number then
    return answer('outdated')
  end
  if last_state == state then
    since = tonumber(last_since)
  end
end
if state == '' then
  over[#over + 1] = field
end
if #over > 0 then
  redis.call('HDEL', KEYS[3], unpack(over))
  redis.call('ZREM', KEYS[4], unpack(over))
end
if state ~= '' then
  local wait, holds = tonumber(ARGV[7]), now + tonumber(ARGV[8])
  local ends = wait > 0 and int(now + wait) or '0'
  redis.call('HSET', KEYS[3], field, table.concat({ ARGV[5], state, int(since), now_text, int(holds), ends, ARGV[9] }, ' '))
  redis.call('ZADD', KEYS[4], int(holds), field)
end
return answer('ok', since)
