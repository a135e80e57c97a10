-- Consent records: a hash `consent:{p}:<channel>` next to the suppressions, with the same fields: the latest opt-in
-- or opt-out of a person, and which notices were received. Only the suppressions decide which addresses get nothing;
-- consent records decide which notice is new.
-- A record is 12 bytes plus 8 per notice: version, said, clock, moment ms (6), beneath (3), ids of notices, newest first.
-- Said: o the person opted out, i opted in, - neither. Clock of the moment: p the provider's, h this server's.
-- Beneath: reason (2) and source of a provider's or bounce's entry that remains when the person's is deleted; source -
-- for none.
--
-- A notice, as callers pass it, is 15 bytes: id, clock, ms (6). Clock p: ms is the provider's time. h: ms is this
-- server's time at the earliest. a: it was received at least ms ago, which gives this server's time at the latest. -:
-- it is a repeat, and when it was first received is not known, only that it was said before now.
local CONSENT_VERSION, CONSENT_HEAD, NOTICE, MOST_NOTICES = 1, 12, 8, 8
-- How far apart the provider's clock, which has a resolution of one second, and this server's clock may be.
local CLOCKS_APART = 3000

-- Returns nil when the record can't be read.
local function read_consent(record)
  if not record then
    return { said = '-', clock = '-', moment = 0, beneath = '\0\0-', ids = '' }
  end
  if #record < CONSENT_HEAD or (#record - CONSENT_HEAD) % NOTICE ~= 0 or byte(record, 1) ~= CONSENT_VERSION then
    return nil
  end
  return {
    said = sub(record, 2, 2),
    clock = sub(record, 3, 3),
    moment = u48(record, 4),
    beneath = sub(record, 10, 12),
    ids = sub(record, 13),
  }
end

local function pack_consent(person)
  return char(CONSENT_VERSION) .. person.said .. person.clock .. p48(person.moment) .. person.beneath .. person.ids
end

local function is_beneath(person)
  return sub(person.beneath, 3) ~= '-'
end

local function is_received(person, id)
  for at = 1, #person.ids, NOTICE do
    if sub(person.ids, at, at + NOTICE - 1) == id then
      return true
    end
  end
  return false
end

local function remember_notice(person, id)
  person.ids = sub(id .. person.ids, 1, NOTICE * MOST_NOTICES)
end

-- Id, clock and moment of a notice. One with an unknown moment was said now at the latest.
local function read_notice(text, at)
  local by, ms = sub(text, at + 8, at + 8), u48(text, at + 9)
  if by == 'a' then
    by, ms = 'h', math.max(now - ms, 0)
  elseif by == '-' then
    ms = now
  end
  return { id = sub(text, at, at + 7), clock = by, moment = ms }
end

-- Whether a notice was provably said after that moment.
local function is_after(notice, by, moment)
  if notice.clock == '-' then
    return false
  end
  return notice.moment > moment + (notice.clock == by and 0 or CLOCKS_APART)
end

-- Whether the person provably opted in after this notice: both times are from the same clock, and that clock did not
-- go back in between.
local function is_outdated(notice, person)
  return person.said == 'i'
    and notice.clock == person.clock
    and person.moment > notice.moment
    and (person.clock == 'p' or person.moment <= now)
end

-- Records the person's newest opt-in or opt-out.
local function record_choice(person, said, notice)
  local by = notice.clock == 'p' and 'p' or 'h'
  if person.said ~= said or person.clock ~= by or notice.moment > person.moment then
    person.said, person.clock, person.moment = said, by, notice.moment
  end
end
