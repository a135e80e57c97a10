//! The words of the domain: orders, rows, parcels, outcomes, and the only reader of the clock.
