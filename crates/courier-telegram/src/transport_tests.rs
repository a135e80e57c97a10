//! The wait that is reported.

use posthaste_courier::conformance::sample;

use super::*;
use crate::Args;

const SECOND: Duration = Duration::from_secs(1);

fn of_two_bots() -> TelegramTransport {
    let tokens = [1, 2].map(|bot| format!("{bot}:CANARYcanaryCANARYcanaryCANARYcanar")).join(" ");
    sample::transport::<Args>(None, &[("telegram.tokens", tokens.as_str())]).unwrap()
}

/// The wait counts from the answer, so it is never reported as shorter than requested.
#[tokio::test(start_paused = true)]
async fn a_wait_is_reported_in_full_however_long_reporting_takes() {
    let (telegram, chat, answered) = (of_two_bots(), Chat::Number(7), Instant::now());
    tokio::time::advance(SECOND * 10).await;
    for (bot, of_whom) in telegram.bots.iter().zip([ThrottleScope::Recipient, ThrottleScope::Channel]) {
        let outcome = telegram.throttled(bot, &chat, answered, answered, SECOND * 30);
        let Outcome::Throttled { scope, wait } = outcome else { panic!("{outcome:?}") };
        assert_eq!(scope, of_whom);
        assert!((SECOND * 30..=SECOND * 30 + SPREAD).contains(&wait), "{wait:?}");
    }
}
