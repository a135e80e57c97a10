-- Consent records: a hash `consent:{p}:<channel>` beside the suppressions, under the same fields: what a person said last, and
-- which notices were heard. The suppressions alone decide who gets nothing; these decide which notice is new.
-- A record is 12 bytes and 8 more a notice: version, said, clock, moment ms (6), beneath (3), ids of notices, the newest first.
-- Said: o the person opted out, i opted in, - neither. Clock of the moment: p the provider's, h this server's.
-- Beneath: reason (2) and source of a provider's or bounce's entry that stands when the person's is lifted; source - for none.
--
-- A notice, as callers tell it, is 15 bytes: id, clock, ms (6). Clock p: the ms are the provider's time; h: this server's time
-- at the earliest; a: it was heard so many ms ago at least, which tells this server's time at the latest; - : it is a repeat,
-- and when it was first heard is not known. It was said before now, that is all.
local CONSENT_VERSION, CONSENT_HEAD, NOTICE, MOST_NOTICES = 1, 12, 8, 8
-- How far the provider's clock, which shows whole seconds, and this server's may be apart.
local CLOCKS_APART = 3000

-- nil when it can't be read.
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

local function consent(told)
  return char(CONSENT_VERSION) .. told.said .. told.clock .. p48(told.moment) .. told.beneath .. told.ids
end

local function is_beneath(told)
  return sub(told.beneath, 3) ~= '-'
end

local function is_heard(told, id)
  for at = 1, #told.ids, NOTICE do
    if sub(told.ids, at, at + NOTICE - 1) == id then
      return true
    end
  end
  return false
end

local function hear(told, id)
  told.ids = sub(id .. told.ids, 1, NOTICE * MOST_NOTICES)
end

-- Id, clock and moment of a notice. One of unknown moment was said now at the latest.
local function read_notice(text, at)
  local by, ms = sub(text, at + 8, at + 8), u48(text, at + 9)
  if by == 'a' then
    by, ms = 'h', math.max(now - ms, 0)
  elseif by == '-' then
    ms = now
  end
  return { id = sub(text, at, at + 7), clock = by, moment = ms }
end

-- Whether it is proved that a notice was said after that moment.
local function is_after(notice, by, moment)
  if notice.clock == '-' then
    return false
  end
  return notice.moment > moment + (notice.clock == by and 0 or CLOCKS_APART)
end

-- Whether it is proved that the person opted in after this notice: by one clock, which did not go back meanwhile.
local function is_outdated(notice, told)
  return told.said == 'i'
    and notice.clock == told.clock
    and told.moment > notice.moment
    and (told.clock == 'p' or told.moment <= now)
end

-- The person's newest word.
local function say(told, said, notice)
  local by = notice.clock == 'p' and 'p' or 'h'
  if told.said ~= said or told.clock ~= by or notice.moment > told.moment then
    told.said, told.clock, told.moment = said, by, notice.moment
  end
end
