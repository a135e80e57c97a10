-- The start of every script of a partition. KEYS[1] is epoch:{p}, KEYS[2] is fence:{p}. ARGV[1] is the request id,
-- which every reply repeats so that a caller notices a reply to another request. ARGV[2] is the epoch the caller
-- knows. A database with another epoch, or none, was wiped, restored or is foreign: nothing is written to it.
-- TIME is read once. The expiry clock of a script is frozen at its start and may lag `now` by a millisecond.
local tag = string.match(KEYS[1], '{%d+}')
local meta = redis.call('MGET', KEYS[1], KEYS[2])
local epoch, fence = meta[1] or '', meta[2] or '0'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)
local now_text = int(now)

-- The head of every reply: code, request id, epoch, fence, server time in ms; each script documents what follows.
local function answer(code, ...)
  return { code, ARGV[1], epoch, fence, now, ... }
end

-- When a slot is being moved to another server and a script touches a key that is not here, the server can't tell
-- whether the key was moved already, so it aborts the script, whatever the script has written by then. This line
-- touches a key that exists nowhere, so the abort comes before anything is written.
redis.call('EXISTS', 'moving:' .. tag)

if epoch ~= ARGV[2] then
  return answer('wrong_epoch')
end

-- Leaves a mark: fence:{p} grows by one with every change a caller is told about. Each process keeps the highest mark
-- it has received; a database that shows a lower one has lost something. Call after all checks, before the first
-- write.
local function leave_mark()
  fence = redis.call('INCR', KEYS[2])
end
