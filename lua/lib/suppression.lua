-- Suppression records: a hash `suppressed:{p}:<channel>`, one field per address: its HMAC-SHA256, cut to 16 bytes,
-- from which the address can't be recovered. A record is 19 bytes: version, state, reason (2), first ms (6), last ms
-- (6), strikes, source, whose. First: when it was put on the list, or the first strike. Last: when it became active,
-- the last strike, or the deletion. States: a active, s striking, l deleted. Whose: c the channel's, s a sender's.
-- Sources: p the provider refused, b a bounce or receipt, s the person told the provider to stop, u unsubscribed, o
-- an operator.
-- A deleted record stays: it shows that there was an entry, and when it ended.
local SUPPRESSION_VERSION, SUPPRESSION_LENGTH = 1, 19
local ACTIVE, STRIKING, DELETED = 'a', 's', 'l'

local function is_suppression(record)
  return #record == SUPPRESSION_LENGTH and byte(record, 1) == SUPPRESSION_VERSION
end

local function suppression(state, reason, first, last, strikes, source, whose)
  return char(SUPPRESSION_VERSION) .. state .. reason .. p48(first) .. p48(last) .. char(strikes) .. source .. whose
end

local function deleted(record)
  return suppression(DELETED, sub(record, 3, 4), u48(record, 5), now, 0, sub(record, 18, 18), sub(record, 19, 19))
end

-- Whether the caller hashes addresses with the key of this database. With another key it would never find an entry.
local held_key = redis.call('HGET', KEYS[3], 'check')
if held_key ~= ARGV[3] then
  return answer('wrong_key')
end
