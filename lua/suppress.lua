#!lua flags=allow-oom
-- suppress: puts addresses on a suppression list, or counts strikes against them. A strike counts once in 20 hours;
-- after 90 days without one, earlier strikes are forgotten. At the number of strikes the caller gives, the address
-- goes on the list. An active entry stays as it is, unless the new source has more weight: an operator's entry
-- replaces a person's, and a person's replaces a provider's or a bounce's, so that a person's opt-in does not delete an
-- operator's entry. A provider's or bounce's entry that comes in addition to a person's is kept beneath it.
-- A notice received before changes nothing, whatever happened to its entry since. A person's notice is outdated if they
-- provably opted in after it; if the order can't be proved, the entry stands.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 address_key:{p}
-- KEYS 4 suppressed:{p}:<channel>
-- KEYS 5 consent:{p}:<channel>
-- ARGV 1 request id
-- ARGV 2 epoch
-- ARGV 3 check value of the address key (16 bytes)
-- ARGV 4 channel
-- ARGV 5… entries: field (16 bytes), reason (2), source, strikes that suffice (1: at once), whose, notice (15), clock p, a or -
-- REPLY ok a letter an entry: n newly on the list, a there already (and taken over by a weightier source), s a strike counted,
--   c counted before, r a repeat of a notice whose entry was deleted since, o outdated, x a record that can't be read
-- REPLY wrong_key addresses are hashed under another key
-- REPLY wrong_epoch another database
-- BOUND 500 entries
-- uses: binary prologue suppression consent
local ONCE, FORGET = 20 * 3600000, 90 * 86400000
local WEIGHTS = { o = 3, s = 2, u = 2 }
local function weight(source)
  return WEIGHTS[source] or 1
end
local fields = {}
for i = 5, #ARGV do
  fields[i - 4] = sub(ARGV[i], 1, 16)
end
local entries = redis.call('HMGET', KEYS[4], unpack(fields))
local consents = redis.call('HMGET', KEYS[5], unpack(fields))
local known = redis.call('HEXISTS', KEYS[3], 'on:' .. ARGV[4]) == 1

-- The result for an entry that is not active: a letter, and the new record if it changes.
local function add(old, entry)
  local reason, source, enough, whose = sub(entry, 17, 18), sub(entry, 19, 19), byte(entry, 20), sub(entry, 21, 21)
  local first, strikes = now, 1
  if old and sub(old, 2, 2) == STRIKING then
    local since = now - u48(old, 11)
    if enough <= 1 then
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

-- The result for an active entry: the new record if it changes.
local function add_beside(old, person, entry)
  local source, holder = sub(entry, 19, 19), sub(old, 18, 18)
  if weight(source) > weight(holder) then
    if weight(source) == 2 then
      person.beneath = sub(old, 3, 4) .. holder
    end
    return suppression(ACTIVE, sub(entry, 17, 18), u48(old, 5), now, byte(old, 17), source, sub(entry, 21, 21))
  end
  if weight(source) == 1 and weight(holder) == 2 and not is_beneath(person) then
    person.beneath = sub(entry, 17, 19)
  end
end

-- Returns a letter, and the new suppression and consent records if they change.
local function apply_entry(old, old_consent, entry)
  local person = read_consent(old_consent)
  if not person or (old and not is_suppression(old)) then
    return 'x'
  end
  local notice, state = read_notice(entry, 22), old and sub(old, 2, 2)
  if is_received(person, notice.id) then
    return state == ACTIVE and 'a' or state == STRIKING and 'c' or 'r'
  end
  local at_once = byte(entry, 20) <= 1
  if weight(sub(entry, 19, 19)) == 2 then
    if is_outdated(notice, person) then
      remember_notice(person, notice.id)
      return 'o', nil, pack_consent(person)
    end
    record_choice(person, 'o', notice)
  end
  remember_notice(person, notice.id)
  if state ~= ACTIVE then
    person.beneath = '\0\0-'
    local letter, record = add(old, entry)
    return letter, record, pack_consent(person)
  end
  return 'a', at_once and add_beside(old, person, entry) or nil, pack_consent(person)
end

-- An address may occur twice in one call.
local latest, latest_consent, letters, writes, consent_writes = {}, {}, {}, {}, {}
for i = 1, #fields do
  local field = fields[i]
  local letter, record, person = apply_entry(latest[field] or entries[i], latest_consent[field] or consents[i], ARGV[i + 4])
  letters[i] = letter
  if record then
    latest[field] = record
    writes[#writes + 1] = field
    writes[#writes + 1] = record
  end
  if person then
    latest_consent[field] = person
    consent_writes[#consent_writes + 1] = field
    consent_writes[#consent_writes + 1] = person
  end
end
if #consent_writes > 0 then
  leave_mark()
  if not known then
    redis.call('HSET', KEYS[3], 'on:' .. ARGV[4], now_text)
  end
  if #writes > 0 then
    redis.call('HSET', KEYS[4], unpack(writes))
  end
  redis.call('HSET', KEYS[5], unpack(consent_writes))
end
return answer('ok', table.concat(letters))
