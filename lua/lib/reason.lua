-- The reasons that scripts set themselves; the whole table is in the model crate.
local R_NOT_AFTER, R_CANCELLED, R_POISON, R_COURIER_DIED, R_HELD, R_WENT_BACK = 1, 2, 3, 4, 7, 25
local R_UNREADABLE = 40
