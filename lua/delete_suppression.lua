#!lua flags=allow-oom
-- delete_suppression: takes an address off a list for an operator, whatever the source of the entry, and resets its
-- strikes. The caller names the record it saw by its last ms, so that a late copy does not delete an entry added since.
-- Notices received so far stay known.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 address_key:{p}
-- KEYS 4 suppressed:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 check value of the address key (16 bytes)
-- ARGV 4 field (16 bytes)
-- ARGV 5 last ms of the record the caller saw
-- REPLY ok
-- REPLY already_done deleted ms; it was deleted before
-- REPLY not_found it is not on the list
-- REPLY changed last ms; it is not the record the caller saw
-- REPLY unreadable a record that can't be read
-- REPLY wrong_key addresses are hashed under another key
-- REPLY wrong_epoch another database
-- BOUND one record
-- uses: binary prologue suppression
local record = redis.call('HGET', KEYS[4], ARGV[4])
if not record then
  return answer('not_found')
end
if not is_suppression(record) then
  return answer('unreadable')
end
local last = u48(record, 11)
if sub(record, 2, 2) == DELETED then
  return answer('already_done', last)
end
if last ~= tonumber(ARGV[5]) then
  return answer('changed', last)
end
leave_mark()
redis.call('HSET', KEYS[4], ARGV[4], deleted(record))
return answer('ok')
