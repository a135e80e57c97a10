-- The reasons scripts give themselves; the whole table is in the model crate.
local R_NOT_AFTER, R_CANCELLED, R_POISON, R_COURIER_DIED, R_HELD = 1, 2, 3, 4, 7
local R_UNREADABLE = 40
