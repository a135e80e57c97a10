#!lua flags=allow-oom
-- promote_due: moves orders whose time has come to ready, for all channels. Every claim does the same first; this is
-- for callers that don't claim.
--
-- KEYS 1 epoch:{p}
-- KEYS 2 fence:{p}
-- KEYS 3 due:{p}:urgent
-- KEYS 4 due:{p}:bulk
-- ARGV 1 request id
-- ARGV 2 epoch
-- REPLY ok next due ms (0: none), promoted, persisted, lost
-- REPLY wrong_epoch another database
-- BOUND 500 parcels
-- uses: binary prologue earliest bell ready order park promote
promote()
return answer('ok', next_due(), promoted.parcels, promoted.persisted, promoted.lost)
