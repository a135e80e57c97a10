#!lua flags=allow-oom
-- open_server_run: returns the mark at which each run of the server found the database. The first caller in a run
-- records it and raises the fence above every mark that may have been issued before, including marks lost in a crash
-- or a failover, so that no fence is issued twice. A process that kept a higher mark than a run found knows from it
-- what was lost. A process that finds that a run lost nothing confirmed, so that work continues, records how much
-- time was lost; the longest value stays.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 runs:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 id of a run to note a loss of, or empty
-- ARGV 4 ms that were lost with it
-- REPLY ok per run, oldest first: run id, mark found, fence it was raised to (0: the database was new), opened ms, and ms lost
-- REPLY wrong_epoch another database
-- BOUND 16 runs
-- uses: binary prologue
local KEPT, MARGIN = 16, 1000000
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local runs = redis.call('LRANGE', KEYS[3], 0, -1)
local last = string.match(runs[#runs] or '', '^(%w+)')
if last ~= run then
  local found = tonumber(fence)
  local raised = 0
  if found > 0 or last then
    -- Marks grow more slowly than the clock in microseconds, so the clock is above all marks issued, however often
    -- the server restarted. If the clock is behind them, it is another server's clock: then a margin is added that
    -- differs for each run.
    local micros = clock[1] * 1000000 + clock[2]
    raised = found < micros and micros or found + MARGIN * (1 + tonumber(sub(run, 1, 3), 16))
    redis.call('SET', KEYS[2], int(raised))
    fence = int(raised)
  end
  local opened = run .. ' ' .. int(found) .. ' ' .. int(raised) .. ' ' .. now_text
  redis.call('RPUSH', KEYS[3], opened)
  redis.call('LTRIM', KEYS[3], -KEPT, -1)
  runs[#runs + 1] = opened
end
for i = math.max(1, #runs - KEPT + 1), #runs do
  local id, rest, lost = string.match(runs[i], '^(%w+) (%d+ %d+ %d+) ?(%d*)$')
  if id and id == ARGV[3] and tonumber(ARGV[4]) > (tonumber(lost) or -1) then
    runs[i] = id .. ' ' .. rest .. ' ' .. int(tonumber(ARGV[4]))
    redis.call('LSET', KEYS[3], i - #runs - 1, runs[i])
  end
end
return answer('ok', runs)
