//! Scenarios: real servers, real courier processes, one behaviour a file.

mod orders_small_and_big_are_delivered;
