#!lua
-- create_key: stores a new API key. At most two live keys share a name, so that one can replace the other without a
-- gap. Keys that were revoked or expired 90 days ago are removed in the same call. Fields of a record: name, hash,
-- scopes, created; optionally sender, role, expires, mailboxes, display_names, used, revoked. The secret itself is
-- never stored.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 keys:{p}
-- KEYS 4 key:{p}:<id>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 id
-- ARGV 4 name
-- ARGV 5 SHA-256 of the secret (32 bytes)
-- ARGV 6 scopes, commas between
-- ARGV 7 sender it is bound to, or empty
-- ARGV 8 role it is bound to, or empty
-- ARGV 9 expires ms, 0 for never
-- ARGV 10 mailboxes its orders may be from, one a line, or empty
-- ARGV 11 display names, the same
-- REPLY ok created ms
-- REPLY already_done created ms; the key was there before
-- REPLY id_taken the id belongs to another secret
-- REPLY name_taken ids of the live keys of this name
-- REPLY limit_reached there are 1,000 keys
-- REPLY wrong_epoch another database
-- BOUND 1,000 keys
-- uses: binary prologue
local MOST, KEPT = 1000, 90 * 86400000
local there = redis.pcall('HMGET', KEYS[4], 'hash', 'created')
if there.err or (there[1] and there[1] ~= ARGV[5]) then
  return answer('id_taken')
end
if there[1] then
  return answer('already_done', tonumber(there[2]))
end

local function key_of(id)
  return 'key:' .. tag .. ':' .. id
end

local ids = redis.call('ZRANGE', KEYS[3], 0, MOST)
local live, over, over_keys = {}, {}, {}
for i = 1, #ids do
  local r = redis.pcall('HMGET', key_of(ids[i]), 'name', 'expires', 'revoked')
  if not r.err then
    local ended = tonumber(r[3] or r[2] or 0)
    if not r[1] or (ended > 0 and ended + KEPT < now) then
      over[#over + 1] = ids[i]
      over_keys[#over_keys + 1] = key_of(ids[i])
    elseif r[1] == ARGV[4] and (ended == 0 or ended > now) then
      live[#live + 1] = ids[i]
    end
  end
end
if #live >= 2 then
  return answer('name_taken', live)
end
if #ids - #over >= MOST then
  return answer('limit_reached')
end
leave_mark()
if #over > 0 then
  redis.call('ZREM', KEYS[3], unpack(over))
  redis.call('UNLINK', unpack(over_keys))
end
local fields = { 'name', ARGV[4], 'hash', ARGV[5], 'scopes', ARGV[6], 'created', now_text }
local optional = { 'sender', ARGV[7], 'role', ARGV[8], 'expires', ARGV[9] ~= '0' and ARGV[9] or '',
  'mailboxes', ARGV[10], 'display_names', ARGV[11] }
for i = 1, #optional, 2 do
  if optional[i + 1] ~= '' then
    fields[#fields + 1] = optional[i]
    fields[#fields + 1] = optional[i + 1]
  end
end
redis.call('HSET', KEYS[4], unpack(fields))
redis.call('ZADD', KEYS[3], now_text, ARGV[3])
return answer('ok', now)
