#!lua flags=allow-oom
-- opt_in: a person wants messages again. Deletes the entry of their own opt-out, and the provider's entry for the same
-- reason, if the opt-in was provably said after it. An operator's or a bounce's entry stays, also one beneath the
-- person's own. If the order can't be proved, the entry stands. A notice received before changes nothing.
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
-- ARGV 5 field (16 bytes)
-- ARGV 6 notice (15 bytes), clock p, h or -
-- ARGV 7 reasons it may delete, 2 bytes each
-- ARGV 8 1: remember it although nothing is known of the address, so that an earlier opt-out is known when it comes late
-- REPLY ok it is off the list
-- REPLY not_found it is not on the list
-- REPLY repeated the notice was received before
-- REPLY outdated the person opted out after it, or it can't be proved that they did not
-- REPLY other_reason the reason it stays on the list for
-- REPLY unreadable a record that can't be read
-- REPLY wrong_key addresses are hashed under another key
-- REPLY wrong_epoch another database
-- BOUND one record
-- uses: binary prologue suppression consent
local old, old_consent = redis.call('HGET', KEYS[4], ARGV[5]), redis.call('HGET', KEYS[5], ARGV[5])
local known = redis.call('HEXISTS', KEYS[3], 'on:' .. ARGV[4]) == 1
local person, notice = read_consent(old_consent), read_notice(ARGV[6], 1)
if not person or (old and not is_suppression(old)) then
  return answer('unreadable')
end
if is_received(person, notice.id) then
  return answer('repeated')
end
local function may_delete(reason)
  for at = 1, #ARGV[7], 2 do
    if sub(ARGV[7], at, at + 1) == reason then
      return true
    end
  end
  return false
end
local active = old and sub(old, 2, 2) == ACTIVE
if not active and (notice.clock == '-' or not old_consent and ARGV[8] ~= '1') then
  return answer('not_found')
end
if notice.clock == '-' or person.said ~= '-' and not is_after(notice, person.clock, person.moment) then
  return answer('outdated')
end
local source = active and sub(old, 18, 18)
local own = source == 's' or source == 'u'
if active and may_delete(sub(old, 3, 4)) then
  local written = u48(old, 11)
  -- The provider refuses again what it refused before: a wrong deletion costs one message, so its entry is deleted unless
  -- it is provably newer. A person's entry that the consent record does not know is dated by the moment it was
  -- written.
  if source == 'p' and notice.moment + CLOCKS_APART < written then
    return answer('outdated')
  elseif own and person.said ~= 'o' and not is_after(notice, 'h', written) then
    return answer('outdated')
  end
end

local code, reason, record = 'not_found', nil, nil
if active then
  reason = sub(old, 3, 4)
  if not (own or source == 'p') or not may_delete(reason) then
    code = 'other_reason'
  else
    local below, by = sub(person.beneath, 1, 2), sub(person.beneath, 3)
    if is_beneath(person) and not (by == 'p' and may_delete(below)) then
      code, reason = 'other_reason', below
      record = suppression(ACTIVE, below, u48(old, 5), now, byte(old, 17), by, sub(old, 19, 19))
    else
      code, record = 'ok', deleted(old)
    end
    person.beneath = '\0\0-'
  end
end
leave_mark()
record_choice(person, 'i', notice)
remember_notice(person, notice.id)
if not known then
  redis.call('HSET', KEYS[3], 'on:' .. ARGV[4], now_text)
end
if record then
  redis.call('HSET', KEYS[4], ARGV[5], record)
end
redis.call('HSET', KEYS[5], ARGV[5], pack_consent(person))
if code == 'other_reason' then
  return answer(code, u16(reason, 1))
end
return answer(code)
