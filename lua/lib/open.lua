-- How every script of a partition starts. KEYS[1] is epoch:{p}, KEYS[2] is fence:{p}; ARGV[1] is the request id, which
-- every reply repeats so that a caller notices a reply that is not its own; ARGV[2] is the epoch the caller knows. A
-- database with another epoch, or none, was wiped, restored or is foreign: nothing is written to it.
-- TIME is read once. The expiry clock of a script is frozen at its start and may lag `now` by a millisecond.
local tag = string.match(KEYS[1], '{%d+}')
local meta = redis.call('MGET', KEYS[1], KEYS[2])
local epoch, fence = meta[1] or '', meta[2] or '0'
local clock = redis.call('TIME')
local now = clock[1] * 1000 + floor(clock[2] / 1000)
local now_text = int(now)

-- The head of every reply: code, request id, epoch, fence, server time in ms; what follows is told by each script.
local function answer(code, ...)
  return { code, ARGV[1], epoch, fence, now, ... }
end

-- A slot that is being moved to another server: of a key that is not here it can't be said whether it went ahead, so the server
-- ends a script that touches one, whatever it has written by then. This touches one that is nowhere, before anything is written.
redis.call('EXISTS', 'moving:' .. tag)

if epoch ~= ARGV[2] then
  return answer('epoch')
end

-- Leaves a mark: fence:{p} grows by one with everything a caller is told to have happened. Each process keeps the highest
-- it was told, and a database that shows less lost something. Called after all checks, before the first write.
local function leave_mark()
  fence = redis.call('INCR', KEYS[2])
end
