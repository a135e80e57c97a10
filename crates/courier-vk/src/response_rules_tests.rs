//! Every rule of the table of answers.

use posthaste_courier::provider_wait;
use posthaste_courier::response_rules::ResponseAction;

use super::*;

fn rules() -> &'static VkRules {
    static RULES: std::sync::OnceLock<VkRules> = std::sync::OnceLock::new();
    RULES.get_or_init(|| VkRules::embedded(&TABLE).unwrap())
}

fn judge(code: u32, about: About) -> VkClassification<'static> {
    rules().classify(&api_error(code, about))
}

fn judge_status(status: u16, retry_after: Option<Duration>) -> VkClassification<'static> {
    rules().classify(&other_answer(status, retry_after))
}

fn all(codes: &[u32], at: &[About], meaning: ResponseAction<VkAction>, reason: Option<Reason>) {
    for code in codes {
        for about in at {
            let classification = judge(*code, *about);
            let wanted = reason.unwrap_or_else(|| Reason::Provider(u16::try_from(*code).unwrap()));
            assert_eq!(
                (classification.action, classification.reason),
                (meaning, wanted),
                "{code} at {about:?}"
            );
        }
    }
}

use About::{Many, One, Peer, Request};
use ResponseAction::{Reject, Retry, Special, Stop, Suppress, Unknown, Wait};
use VkAction::{Apart, Look, Split};

#[test]
fn limits_pause_the_channel_wherever_they_are_reported() {
    for (code, seconds) in [(6, 1), (9, 300), (29, 3600)] {
        all(&[code], &About::ALL, Wait, Some(Reason::Throttled));
        assert_eq!(judge(code, Request).wait().as_secs(), seconds, "{code}");
    }
    all(&[944], &[Peer, One, Many], Retry, Some(Reason::Throttled));
    assert_eq!(judge(944, Peer).after, Some(Duration::from_secs(3600)));
}

#[test]
fn an_error_after_which_the_message_may_have_been_sent_is_unknown() {
    all(&[1, 10, 32, 36, 43], &About::ALL, Unknown, Some(Reason::ProviderUnavailable));
    all(&[13], &[Peer, One, Many], Unknown, Some(Reason::ProviderUnavailable));
    assert!(judge(36, Request).shrink && !judge(36, One).shrink && !judge(10, Request).shrink);
}

#[test]
fn a_program_that_fails_is_split() {
    all(&[13], &[Request], Special(Split), Some(Reason::ProviderUnavailable));
    assert!(judge(13, Request).shrink);
    all(&[12], &About::ALL, Special(Apart), Some(Reason::Rejected));
    assert!(judge(12, Request).alarm);
}

#[test]
fn credentials_stop_and_never_fail_a_message_on_their_own() {
    all(&[14, 3300], &About::ALL, Stop, None);
    all(
        &[5, 27, 28, 1117, 1114, 1116, 1118, 3301, 3302, 3303, 3304, 3609],
        &[One, Many, Request],
        Stop,
        None,
    );
    all(
        &[20, 21, 23, 2, 3, 4, 11, 16, 17, 24, 25, 34, 35, 38, 41, 42, 101, 9999],
        &[One, Many, Request],
        Stop,
        None,
    );
    all(&[7, 8, 15], &[Request], Stop, None);
    all(&[7, 8, 15], &[One, Many], Special(Look), Some(Reason::Rejected));
    all(&[7, 15], &[Peer], Reject, Some(Reason::Rejected));
}

#[test]
fn addresses_are_suppressed_one_by_one() {
    let (gone, blocked) = ([18, 37, 39, 113, 936, 3610], [900, 901, 902, 950]);
    all(&gone, &[Peer, One], Suppress, Some(Reason::InvalidAddress));
    all(&blocked, &[Peer, One], Suppress, Some(Reason::Blocked));
    all(&gone, &[Many], Special(Apart), None);
    all(&blocked, &[Many], Special(Apart), None);
}

#[test]
fn faults_of_a_message_or_a_chat_are_final() {
    all(&[943, 910, 911, 913, 914, 921, 940], &[Peer, One, Many], Reject, Some(Reason::Rejected));
    let chats = [104, 912, 917, 922, 925, 927, 932, 945, 946, 962, 969, 985, 987, 988, 1012];
    all(&chats, &[Peer, One], Reject, Some(Reason::Rejected));
    all(&chats, &[Many], Special(Apart), None);
    all(&[100], &[Peer, One], Reject, Some(Reason::Rejected));
    all(&[100], &[Many], Special(Apart), None);
    for (code, alarm) in [(943, true), (914, true), (100, true), (917, false), (901, false)] {
        assert_eq!(judge(code, One).alarm, alarm, "{code}");
    }
}

#[test]
fn an_unknown_code_is_final_for_one_and_tried_again_for_more() {
    for code in [22, 33, 170, 7777, 11_500] {
        assert!(!rules().names(&code.to_string()));
        all(&[code], &[Peer, One], Reject, None);
        all(&[code], &[Many, Request], Retry, None);
    }
    assert_eq!(judge(4_000_000_000, Peer).reason, Reason::InvalidProviderResponse);
}

#[test]
fn answers_of_other_servers_are_judged_by_their_status() {
    for (status, meaning, reason) in [
        (429, Wait, Reason::Throttled),
        (413, Special(Split), Reason::InvalidProviderResponse),
        (414, Special(Split), Reason::InvalidProviderResponse),
        (401, Stop, Reason::InvalidProviderResponse),
        (404, Stop, Reason::InvalidProviderResponse),
        (407, Stop, Reason::InvalidProviderResponse),
        (302, Retry, Reason::InvalidProviderResponse),
        (403, Retry, Reason::InvalidProviderResponse),
        (500, Unknown, Reason::ProviderUnavailable),
        (502, Unknown, Reason::ProviderUnavailable),
        (200, Unknown, Reason::InvalidProviderResponse),
    ] {
        let classification = judge_status(status, None);
        assert_eq!((classification.action, classification.reason), (meaning, reason), "{status}");
    }
    assert_eq!(judge_status(429, None).wait().as_secs(), 5);
    assert_eq!(judge_status(429, Some(Duration::from_secs(40))).wait().as_secs(), 40);
    assert_eq!(judge_status(429, Some(Duration::MAX)).wait(), provider_wait::LONGEST);
}

#[test]
fn every_rule_is_the_first_for_something() {
    let (errors, statuses) = ((0..12_000_u32), (100..600));
    let errors = errors.flat_map(|code| About::ALL.map(|about| judge(code, about)));
    let found: Vec<_> = errors.chain(statuses.map(|status| judge_status(status, None))).collect();
    let number_of_rules = TABLE.text.matches("[[rule]]").count();
    for rule in 1..=number_of_rules {
        assert!(found.iter().any(|found| found.rule == Some(rule)), "rule {rule}");
    }
    // Every stop says what the operator has to fix.
    for found in &found {
        assert_eq!(found.action == Stop, !found.cause.is_empty(), "{found:?}");
    }
}
