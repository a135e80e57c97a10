#!lua flags=allow-oom
-- suppress: puts addresses on a list of those who get nothing, or counts strikes against them. A strike counts once in 20
-- hours; after 90 days without one the earlier ones are forgotten; so many as the caller says, and the address is on the list.
-- What is on the list stays as it is, but for a weightier source: an operator's entry takes the place of what a person said,
-- and that of what a provider or a bounce did, so that a person's word does not lift an operator's. What was lifted within the
-- last minute stays lifted, unless the caller says that it saw this lift: a late copy of the call that was lifted did not.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 address_key:{p}
-- KEYS 4 suppressed:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 check value of the address key (16 bytes)
-- ARGV 4 channel
-- ARGV 5… entries: field (16 bytes), reason (2), source, strikes that suffice (1: at once), whose, lift seen ms (6; 0: none)
-- REPLY ok a letter an entry: n newly on the list, a there already (and taken over by a weightier source), s a strike counted,
--   c counted before, l lifted lately, x a record that can't be read
-- REPLY key addresses are hashed under another key
-- REPLY epoch another database
-- BOUND 500 entries
-- uses: num open suppression
local ONCE, FORGET, LATE = 20 * 3600000, 90 * 86400000, 60000
local WEIGHTS = { o = 3, s = 2, u = 2 }
local function weight(source)
  return WEIGHTS[source] or 1
end
local fields = {}
for i = 5, #ARGV do
  fields[i - 4] = sub(ARGV[i], 1, 16)
end
local held = redis.call('HMGET', KEYS[4], unpack(fields))
local known = redis.call('HEXISTS', KEYS[3], 'on:' .. ARGV[4]) == 1

-- What becomes of a record: a letter, and the new record where it changes.
local function judge(old, entry)
  local reason, source, enough, whose = sub(entry, 17, 18), sub(entry, 19, 19), byte(entry, 20), sub(entry, 21, 21)
  local first, strikes = now, 1
  if old and not is_suppression(old) then
    return 'x'
  end
  if old then
    local state, last = sub(old, 2, 2), u48(old, 11)
    local since = now - last
    if state == ACTIVE then
      if enough <= 1 and weight(source) > weight(sub(old, 18, 18)) then
        return 'a', suppression(ACTIVE, reason, u48(old, 5), now, byte(old, 17), source, whose)
      end
      return 'a'
    elseif state == LIFTED then
      -- Where the clock went back nobody knows how long ago it was.
      if since >= 0 and since < LATE and u48(entry, 22) ~= last then
        return 'l'
      end
    elseif enough <= 1 then
      first, strikes = u48(old, 5), byte(old, 17)
    elseif since < ONCE then
      return 'c'
    elseif since < FORGET then
      first, strikes = u48(old, 5), math.min(byte(old, 17) + 1, 255)
    end
  end
  if strikes >= enough or enough <= 1 then
    return 'n', suppression(ACTIVE, reason, first, now, strikes, source, whose)
  end
  return 's', suppression(STRIKING, reason, first, now, strikes, source, whose)
end

-- One address may be named twice.
local latest, letters, writes = {}, {}, {}
for i = 1, #fields do
  local letter, record = judge(latest[fields[i]] or held[i], ARGV[i + 4])
  letters[i] = letter
  if record then
    latest[fields[i]] = record
    writes[#writes + 1] = fields[i]
    writes[#writes + 1] = record
  end
end
if #writes > 0 then
  leave_mark()
  if not known then
    redis.call('HSET', KEYS[3], 'on:' .. ARGV[4], now_text)
  end
  redis.call('HSET', KEYS[4], unpack(writes))
end
return answer('ok', table.concat(letters))
