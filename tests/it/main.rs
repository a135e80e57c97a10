//! Scenarios: real servers, real courier processes, one behaviour a file.

mod cancels_and_moves_race_the_bell;
mod couriers_come_before_and_after_orders;
mod couriers_share_a_big_order;
mod database_goes_back;
mod database_is_wiped_under_running_couriers;
mod frozen_courier_comes_back;
mod killed_after_begin;
mod killed_after_claim;
mod killed_after_settle;
mod killed_after_the_provider_took_it;
mod killed_before_claim;
mod killed_mid_send;
mod listeners_are_killed_again_and_again;
mod memory_is_full;
mod network_copies_and_loses;
mod notifications_are_off;
mod orders_small_and_big_are_delivered;
mod poison_row_among_a_thousand;
mod providers_that_misbehave;
mod scripts_are_flushed_again_and_again;
mod server_is_killed_under_load;
mod stop_under_load;
mod stopped_channel_fails_nothing;
mod ten_thousand_fall_due_while_all_couriers_are_down;
mod urgent_overtakes_a_backlog;
