#!lua flags=allow-oom
-- opt_in: a person wants messages again. Lifts the entry of their own opt-out, and the provider's entry for the same
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
-- ARGV 7 reasons it may lift, 2 bytes each
-- ARGV 8 1: remember it although nothing is known of the address, so that an earlier opt-out is known when it comes late
-- REPLY ok it is off the list
-- REPLY gone it is not on the list
-- REPLY again it was heard before
-- REPLY older the person opted out after it, or it can't be proved that they did not
-- REPLY other the reason it stays on the list for
-- REPLY bad a record that can't be read
-- REPLY key addresses are hashed under another key
-- REPLY epoch another database
-- BOUND one record
-- uses: binary prologue suppression consent
local old, old_consent = redis.call('HGET', KEYS[4], ARGV[5]), redis.call('HGET', KEYS[5], ARGV[5])
local known = redis.call('HEXISTS', KEYS[3], 'on:' .. ARGV[4]) == 1
local told, notice = read_consent(old_consent), read_notice(ARGV[6], 1)
if not told or (old and not is_suppression(old)) then
  return answer('bad')
end
if is_heard(told, notice.id) then
  return answer('again')
end
local function may_lift(reason)
  for at = 1, #ARGV[7], 2 do
    if sub(ARGV[7], at, at + 1) == reason then
      return true
    end
  end
  return false
end
local active = old and sub(old, 2, 2) == ACTIVE
if not active and (notice.clock == '-' or not old_consent and ARGV[8] ~= '1') then
  return answer('gone')
end
if notice.clock == '-' or told.said ~= '-' and not is_after(notice, told.clock, told.moment) then
  return answer('older')
end
local source = active and sub(old, 18, 18)
local own = source == 's' or source == 'u'
if active and may_lift(sub(old, 3, 4)) then
  local written = u48(old, 11)
  -- The provider refuses again what it refused before: a wrong lift costs one message, so its entry is lifted unless
  -- it is provably newer. A person's entry that the consent record does not know is dated by the moment it was
  -- written.
  if source == 'p' and notice.moment + CLOCKS_APART < written then
    return answer('older')
  elseif own and told.said ~= 'o' and not is_after(notice, 'h', written) then
    return answer('older')
  end
end

local code, reason, record = 'gone', nil, nil
if active then
  reason = sub(old, 3, 4)
  if not (own or source == 'p') or not may_lift(reason) then
    code = 'other'
  else
    local below, by = sub(told.beneath, 1, 2), sub(told.beneath, 3)
    if is_beneath(told) and not (by == 'p' and may_lift(below)) then
      code, reason = 'other', below
      record = suppression(ACTIVE, below, u48(old, 5), now, byte(old, 17), by, sub(old, 19, 19))
    else
      code, record = 'ok', lifted(old)
    end
    told.beneath = '\0\0-'
  end
end
leave_mark()
say(told, 'i', notice)
hear(told, notice.id)
if not known then
  redis.call('HSET', KEYS[3], 'on:' .. ARGV[4], now_text)
end
if record then
  redis.call('HSET', KEYS[4], ARGV[5], record)
end
redis.call('HSET', KEYS[5], ARGV[5], consent(told))
if code == 'other' then
  return answer(code, u16(reason, 1))
end
return answer(code)
