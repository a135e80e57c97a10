-- The reasons that scripts set themselves; the whole table is in the model crate.
local R_EXPIRED, R_CANCELLED, R_POISON, R_COURIER_DIED, R_NOT_RETRIED, R_DATABASE_WENT_BACK = 1, 2, 3, 4, 7, 25
local R_RECORD_UNREADABLE = 40
