#!lua flags=allow-oom
-- recover: ends a halt. The fence rises above every mark ever returned, and the epoch gets the next generation, so
-- that every process that knew the old one learns that the marks it remembers no longer count. It also sets up a
-- wiped database.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 halted:{p}
-- KEYS 4 lost:{p}
-- KEYS 5 runs:{p}
-- KEYS 6 schema:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 schema of the caller
-- ARGV 4 number of partitions
-- REPLY ok the new epoch
-- REPLY not_halted it is not halted
-- REPLY wrong_epoch another database
-- BOUND one record
-- uses: binary prologue
local MARGIN = 1000000
if sub(epoch, 1, 1) ~= '!' then
  return answer('not_halted')
end
local known = tonumber(redis.call('HGET', KEYS[3], 'known') or 0)
redis.call('ZCARD', KEYS[4])
redis.call('LLEN', KEYS[5])
local schema = redis.call('GET', KEYS[6])
local name, generation = string.match(epoch, '^!([^+]*)%+?(%d*)$')
fence = int(math.max(known, tonumber(fence)) + MARGIN)
local clock_mark = int(clock[1] * 1000000 + clock[2])
if tonumber(clock_mark) > tonumber(fence) then
  fence = clock_mark
end
epoch = name .. '+' .. int((tonumber(generation) or 0) + 1)
redis.call('SET', KEYS[2], fence)
redis.call('DEL', KEYS[5])
if not schema then
  redis.call('SET', KEYS[6], ARGV[3] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
end
redis.call('UNLINK', KEYS[3], KEYS[4])
redis.call('SET', KEYS[1], epoch)
return answer('ok', epoch)
