//! Scenarios: real servers, real courier processes, one behaviour a file.

mod killed_after_begin;
mod killed_after_claim;
mod killed_after_settle;
mod killed_after_the_provider_took_it;
mod killed_before_claim;
mod killed_mid_send;
mod orders_small_and_big_are_delivered;
