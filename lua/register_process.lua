#!lua
-- register_process: the first call of every process to a database: sets up an empty one, otherwise returns what it is. A
-- database that holds orders but no epoch is refused instead of set up: something was lost.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 schema:{p}
-- KEYS 4 orders:{p}
-- KEYS 5 channels:{p}
-- ARGV 1 request id
-- ARGV 2 epoch known to the caller, empty at its first start
-- ARGV 3 epoch to set in an empty database
-- ARGV 4 schema of the caller
-- ARGV 5 number of partitions
-- ARGV 6 channel of a courier, or empty
-- ARGV 7 whether the channel gets delivery receipts: 1, 0, or empty for not known
-- ARGV 8 oldest schema of a program that may run beside the caller
-- REPLY ok schema, partitions
-- REPLY foreign orders without an epoch, or another number of partitions
-- REPLY program_too_old the database asks for a newer program
-- REPLY halted sending was stopped here: the database went back or was wiped, and nobody has said how to go on
-- REPLY wrong_epoch another database than the one known
-- BOUND no loop
-- uses:
local epoch, fence = redis.call('GET', KEYS[1]), redis.call('GET', KEYS[2])
local schema = redis.call('GET', KEYS[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local function seen()
  if ARGV[6] ~= '' then
    redis.call('HSET', KEYS[5], ARGV[6], now)
    if ARGV[7] ~= '' then
      redis.call('HSET', KEYS[5], ARGV[6] .. ':receipts', ARGV[7])
    end
  end
end
local function answer(code, ...)
  return { code, ARGV[1], epoch or '', fence or '0', now, ... }
end
if (ARGV[2] ~= '' and epoch ~= ARGV[2]) then
  return answer('wrong_epoch')
end
if epoch and string.sub(epoch, 1, 1) == '!' then
  return answer('halted')
end
if not epoch and (schema or fence or redis.call('EXISTS', KEYS[4]) == 1) then
  return answer('foreign')
end
redis.call('HLEN', KEYS[5])
if epoch then
  local current, oldest, partitions = string.match(schema or '', '^(%d+) (%d+) (%d+)$')
  if not current or partitions ~= ARGV[5] then
    return answer('foreign')
  end
  if tonumber(ARGV[4]) < tonumber(oldest) then
    return answer('program_too_old')
  end
  seen()
  -- A newer program raises both; they are never lowered.
  local raised, floor = math.max(tonumber(current), tonumber(ARGV[4])), math.max(tonumber(oldest), tonumber(ARGV[8]))
  if raised ~= tonumber(current) or floor ~= tonumber(oldest) then
    redis.call('SET', KEYS[3], string.format('%d %d %s', raised, floor, partitions))
  end
  return answer('ok', raised, tonumber(partitions))
end
redis.call('SET', KEYS[1], ARGV[3])
redis.call('SET', KEYS[3], ARGV[4] .. ' ' .. ARGV[8] .. ' ' .. ARGV[5])
seen()
epoch = ARGV[3]
return answer('ok', tonumber(ARGV[4]), tonumber(ARGV[5]))
