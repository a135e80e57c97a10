#!lua flags=allow-oom
-- ring: moves orders whose time has come to ready, for all channels. Every claim does the same first; this is for those
-- who don't claim.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- ARGV 1 request id
-- ARGV 2 epoch
-- REPLY ok next due ms (0: none), rung, persisted, lost
-- REPLY epoch another database
-- BOUND 500 parcels
-- uses: num open earliest bell ready order park ring
ring()
return answer('ok', next_due(), rung.parcels, rung.persisted, rung.lost)
