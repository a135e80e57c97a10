#!lua
-- limit_sms: takes the messages of one order out of the quotas of a channel: segments per day for the installation,
-- messages per hour for an API key, and messages per hour to numbers that share a prefix. All or nothing. The same
-- order counts once. An order that was not stored gives its segments back, but not its share of the hour, because
-- rates count attempts. A return names the taking it reverses, and a late copy of either call changes nothing.
--
-- KEYS 1 quota:{<channel>}:<day>
-- KEYS 2 quota:{<channel>}:<hour>
-- ARGV 1 request id
-- ARGV 2 what: take, return, or check (is anything left?)
-- ARGV 3 order id
-- ARGV 4 segments of the order
-- ARGV 5 segments a day; 0: without limit
-- ARGV 6 API key
-- ARGV 7 messages of the order
-- ARGV 8 messages an hour of a key; 0: without limit
-- ARGV 9 messages an hour to a prefix; 0: without limit
-- ARGV 10 random id of the taking (8 bytes)
-- ARGV 11… prefixes: id (8 bytes), messages
-- REPLY ok segments of the day before it and with it
-- REPLY already_done segments of the day; it already had its share, or has none to return
-- REPLY day_limit segments of the day; there are too few left
-- REPLY key_limit messages of the key in this hour; there are too few left
-- REPLY prefix_limit messages to that prefix in this hour; there are too few left
-- BOUND 500 prefixes
-- uses:
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local what, order, segments = ARGV[2], 'o:' .. ARGV[3], tonumber(ARGV[4])
local spent = tonumber(redis.call('HGET', KEYS[1], 'segments') or '0')
-- The taking and its segments; no segments once they were returned.
local held = redis.call('HGET', KEYS[1], order) or ''
local taking, share = string.sub(held, 1, 8), string.sub(held, 9)
if what == 'return' then
  if taking ~= ARGV[10] or share == '' then
    return { 'already_done', ARGV[1], spent }
  end
  redis.call('HSET', KEYS[1], order, taking)
  return { 'ok', ARGV[1], spent, redis.call('HINCRBY', KEYS[1], 'segments', -tonumber(share)) }
end
if share ~= '' or taking == ARGV[10] then
  return { 'already_done', ARGV[1], spent }
end
local daily, of_key, to_prefix = tonumber(ARGV[5]), tonumber(ARGV[8]), tonumber(ARGV[9])
if daily > 0 and spent + segments > daily then
  return { 'day_limit', ARGV[1], spent }
end
local messages, key = tonumber(ARGV[7]), 'k:' .. ARGV[6]
local sent = tonumber(redis.call('HGET', KEYS[2], key) or '0')
if of_key > 0 and sent + messages > of_key then
  return { 'key_limit', ARGV[1], sent }
end
if to_prefix > 0 then
  for i = 11, #ARGV, 2 do
    local before = tonumber(redis.call('HGET', KEYS[2], 'p:' .. ARGV[i]) or '0')
    if before + tonumber(ARGV[i + 1]) > to_prefix then
      return { 'prefix_limit', ARGV[1], before }
    end
  end
end
if what == 'check' then
  return { 'ok', ARGV[1], spent, spent }
end
redis.call('HSET', KEYS[1], order, ARGV[10] .. ARGV[4])
redis.call('HINCRBY', KEYS[1], 'segments', segments)
redis.call('HINCRBY', KEYS[2], key, messages)
for i = 11, #ARGV, 2 do
  redis.call('HINCRBY', KEYS[2], 'p:' .. ARGV[i], ARGV[i + 1])
end
-- The day's key expires two days, the hour's key two hours, after the last taking.
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', now + 172800000))
redis.call('PEXPIREAT', KEYS[2], string.format('%.0f', now + 7200000))
return { 'ok', ARGV[1], spent, spent + segments }
