#!lua flags=allow-oom
-- halt: stops all processes of this database, across restarts too, because it went back or was wiped. From here on
-- its epoch begins with `!`, so every script refuses callers that name the epoch without it; reports of messages
-- already sent include it. What each process knows of the loss is merged into one record. A database of a later
-- generation was recovered in the meantime, one of another name belongs to another installation: nothing is written
-- to either.
--
-- Fields of the record: cause (back, wiped), noticed ms, found (lowest mark found; absent when no loss is known),
-- known (highest mark returned before), since ms (first change known to be lost), last ms (last one).
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 halted:{p}
-- KEYS 4 lost:{p}
-- ARGV 1 request id
-- ARGV 2 epoch known to the caller
-- ARGV 3 cause: back or wiped
-- ARGV 4 mark found, empty when the caller knows of no loss here
-- ARGV 5 highest mark returned to the caller before
-- ARGV 6 since ms, 0 for not known
-- ARGV 7 last ms, 0 for not known
-- ARGV 8… accepted ms and order id of a lost order
-- REPLY ok lost orders known
-- REPLY wrong_epoch another database, or a later generation of this one
-- BOUND 500 lost orders a call, 20,000 in all
-- uses:
local MOST = 20000
local epoch, fence = redis.call('GET', KEYS[1]) or '', redis.call('GET', KEYS[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function answer(code, ...)
  return { code, ARGV[1], epoch, fence or '0', now, ... }
end

local function parts(text)
  local name, generation = string.match(text, '^!?([^+]*)%+?(%d*)$')
  return name, tonumber(generation) or 0
end

local name, generation = parts(ARGV[2])
if epoch ~= '' then
  local found, later = parts(epoch)
  if found ~= name or later > generation then
    return answer('wrong_epoch')
  end
end
local record = redis.call('HMGET', KEYS[3], 'cause', 'noticed', 'found', 'known', 'since', 'last')
local room = MOST - redis.call('ZCARD', KEYS[4])

local function lower(old, new)
  old = tonumber(old)
  return old and old > 0 and (new == 0 or old < new) and old or new
end

local function text(n)
  return string.format('%.0f', n)
end

epoch = '!' .. name .. (generation > 0 and '+' .. text(generation) or '')
redis.call('SET', KEYS[1], epoch)
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[3], 'found', text(math.min(tonumber(record[3]) or tonumber(ARGV[4]), tonumber(ARGV[4]))))
end
redis.call('HSET', KEYS[3],
  'cause', record[1] == 'wiped' and 'wiped' or ARGV[3],
  'noticed', record[2] or text(now),
  'known', text(math.max(tonumber(record[4]) or 0, tonumber(ARGV[5]))),
  'since', text(lower(record[5], tonumber(ARGV[6]))),
  'last', text(math.max(tonumber(record[6]) or 0, tonumber(ARGV[7]))))
local lost = {}
for a = 8, #ARGV do
  if #lost < 2 * room then
    lost[#lost + 1] = ARGV[a]
  end
end
if #lost > 0 then
  redis.call('ZADD', KEYS[4], unpack(lost))
end
return answer('ok', redis.call('ZCARD', KEYS[4]))
