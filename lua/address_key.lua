#!lua flags=allow-oom
-- address_key: agrees on the key used to hash addresses. Without a key in the settings, a random one is made once and
-- stored here; with one, only a check value is stored. Fields of the record: check, key (if it was made here),
-- on:<channel> for each channel that ever had an entry. A key from the settings may replace another key only while no
-- list has an entry, because none of the entries could be found again.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 address_key:{p}
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 check value of the key (16 bytes)
-- ARGV 4 a random key (32 bytes), to be kept if there is none; empty: the key is in the settings and is kept nowhere
-- REPLY ok the key kept here, empty when it is that of the settings
-- REPLY key_required the database knows a key of the settings, the caller has none
-- REPLY wrong_key 1 when the other key was made here, 0 when it is of other settings; there are entries under it
-- REPLY unreadable the record can't be read
-- REPLY wrong_epoch another database
-- BOUND one field a channel
-- uses: binary prologue
local record = redis.pcall('HGETALL', KEYS[3])
if record.err then
  return answer('unreadable')
end
local check, key
local entries = 0
for i = 1, #record, 2 do
  local channel = string.match(record[i], '^on:(.*)')
  if channel then
    entries = entries + redis.call('HLEN', 'suppressed:' .. tag .. ':' .. channel)
  elseif record[i] == 'check' then
    check = record[i + 1]
  elseif record[i] == 'key' then
    key = record[i + 1]
  end
end
local made = ARGV[4]
if check and made ~= '' then
  if key then
    return answer('ok', key)
  end
  return answer('key_required')
end
if check == ARGV[3] then
  return answer('ok', '')
end
if check and entries > 0 then
  return answer('wrong_key', key and 1 or 0)
end
redis.call('HSET', KEYS[3], 'check', ARGV[3])
if made ~= '' then
  redis.call('HSET', KEYS[3], 'key', made)
elseif key then
  redis.call('HDEL', KEYS[3], 'key')
end
return answer('ok', made)
