-- Tokens: numbers from 1 to 2147483646 by which a provider drops repeats. No token is used twice within hours,
-- whatever happens to the database: the number is a position in a cycle that belongs to this partition alone, and the
-- position is never behind the clock. So after a wipe, or with an old copy, it continues past all tokens used before,
-- as long as fewer than a thousand per second were used. A token is place * partitions + partition + 1.
local function token_counter(stored, partitions)
  local places = floor(2147483646 / partitions)
  local last = tonumber(stored or '')
  local clock_place = floor(now / (partitions > 128 and 32 or 1)) % places
  local place = last and floor((last - 1) / partitions) % places or clock_place
  -- The place is behind if the clock is less than half the cycle ahead of it.
  if (clock_place - place) % places < places / 2 then
    place = clock_place
  end
  return { place = place, places = places, partitions = partitions, own = tonumber(string.match(tag, '%d+')) }
end

local function next_token(counter)
  counter.place = (counter.place + 1) % counter.places
  counter.last = counter.place * counter.partitions + counter.own + 1
  return counter.last
end
