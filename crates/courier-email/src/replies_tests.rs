//! Each rule of the table, with replies as servers write them.

use posthaste_courier::response_rules::{Classification, ResponseAction};
use posthaste_model::Reason;

use super::*;
use ResponseAction::{Reject, Retry, Stop, Strike, Suppress};
use SmtpStage::{Auth, Connect, Data, Mail, Rcpt, Text};

const RELAY: ResponseAction<ReplyAction> = ResponseAction::Special(ReplyAction::Relay);

fn table() -> ReplyRules {
    ReplyRules::embedded(&TABLE).expect("the table")
}

fn judge<'a>(
    rules: &'a ReplyRules,
    stage: SmtpStage,
    code: u16,
    text: &str,
) -> Classification<'a, ReplyAction> {
    rules.classify(&SmtpReply::new(code, text).response(stage))
}

#[test]
fn replies_mean_what_their_codes_say() {
    let replies = table();
    for (stage, code, text, meaning) in [
        (Connect, 421, "4.3.2 too many connections", RELAY),
        (Connect, 450, "no", RELAY),
        (Connect, 554, "no SMTP service here", Stop),
        (Connect, 521, "host does not accept mail", Stop),
        (Connect, 502, "EHLO not implemented", Stop),
        (Auth, 454, "4.7.0 temporary authentication failure", RELAY),
        (Auth, 535, "5.7.8 bad credential", Stop),
        (Auth, 534, "5.7.9 mechanism too weak", Stop),
        (Mail, 530, "5.7.0 authentication required", Stop),
        (Mail, 421, "4.7.28 rate limited", RELAY),
        (Rcpt, 421, "closing", RELAY),
        (Text, 421, "4.7.28 rate limited", RELAY),
        (Mail, 452, "4.3.1 out of space", Retry),
        (Mail, 550, "5.7.1 sender refused", Stop),
        (Mail, 553, "5.1.8 no such sender domain", Stop),
        (Rcpt, 550, "5.1.7 bad sender", Stop),
        (Mail, 552, "5.3.4 message too big", Reject),
        (Rcpt, 450, "4.7.1 <x>: Recipient address rejected: Greylisted", Retry),
        (Rcpt, 451, "Greylisting in action, please come back later", Retry),
        (Rcpt, 452, "4.2.2 mailbox full", Retry),
        (Rcpt, 452, "4.5.3 too many recipients", Retry),
        (Text, 452, "4.5.3 too many recipients", Retry),
        (Rcpt, 450, "4.2.1 receiving mail at a rate that prevents", Retry),
        (Rcpt, 550, "5.1.1 no such user", Suppress),
        (Rcpt, 551, "5.1.6 mailbox has moved", Suppress),
        (Rcpt, 553, "5.1.3 bad address", Suppress),
        (Rcpt, 550, "5.1.2 no such domain", Suppress),
        (Rcpt, 550, "5.1.10 null MX", Suppress),
        (Text, 550, "5.1.1 no such user", Suppress),
        (Rcpt, 556, "does not accept mail", Suppress),
        (Rcpt, 550, "no such user here", Strike),
        (Rcpt, 550, "5.2.1 mailbox disabled", Strike),
        (Text, 550, "5.4.4 no route", Strike),
        (Rcpt, 550, "5.7.1 No such user!", Strike),
        (Text, 554, "5.7.1 <a@mail.example>: User unknown", Strike),
        (Rcpt, 550, "5.7.26 no such user", Strike),
        (Rcpt, 550, "5.4.1 Recipient address rejected: Access denied. AS(201806281)", Strike),
        (Rcpt, 550, "5.4.1 no answer from host", Reject),
        (Rcpt, 554, "5.7.1 Your IP is on our block list", Reject),
        (Mail, 550, "5.7.1 no such user", Stop),
        (Rcpt, 552, "5.2.2 over quota", Retry),
        (Rcpt, 552, "too many recipients", Retry),
        (Text, 552, "5.3.4 too big", Reject),
        (Text, 554, "5.6.0 bad content", Reject),
        (Text, 550, "5.7.26 unauthenticated", Reject),
        (Rcpt, 554, "5.7.1 blocked by policy", Reject),
        (Text, 554, "transaction failed", Reject),
        (Text, 550, "spam", Reject),
        (Rcpt, 501, "syntax", Reject),
        (Data, 503, "bad sequence", Retry),
        (Data, 502, "what", Reject),
        (Data, 451, "4.3.0 local error", Retry),
        (Data, 354, "too early", Retry),
    ] {
        assert_eq!(judge(&replies, stage, code, text).action, meaning, "{stage:?} {code} {text}");
    }
}

/// Replies as servers write them; `@` stands for an address.
#[test]
fn no_such_user_in_words_counts_whatever_the_code() {
    let replies = table();
    for (code, text) in [
        (550, "5.7.1 No such user!"),
        (550, "5.7.1 <@>: Recipient address rejected: No such user"),
        (554, "No such user"),
        (550, "Message was not accepted -- invalid mailbox.  Local mailbox @ is unavailable: user not found"),
        (550, "5.0.0 Local mailbox @ is unavailable: user not found"),
        (550, "5.1.0 <@>: Recipient address rejected: User unknown in virtual mailbox table"),
        (554, "5.7.1 <@>: Recipient address rejected: undeliverable address: unknown user: \"a\""),
        (550, "5.0.0 <@>... User unknown"),
        (550, "5.0.1 Unrouteable address"),
        (553, "sorry, no mailbox here by that name (#5.7.17)"),
        (511, "sorry, no mailbox here by that name (#5.1.1 - chkuser)"),
        (553, "sorry, this recipient is not in my validrcptto list (#5.7.1)"),
        (550, "5.4.1 Recipient address rejected: Access denied. [x.prod.protection.outlook.com]"),
        (550, "5.5.0 Requested action not taken: mailbox unavailable (S2017062302)."),
        (554, "5.6.0 RESOLVER.ADR.RecipNotFound; not found"),
        (554, "delivery error: dd This user doesn't have a yahoo.com account (@) [0]"),
        (550, "5.2.0 The email account that you tried to reach does not exist"),
        (552, "Mailbox not found. http://service.mail.qq.com/cgi-bin/help"),
        (550, "5.0.0 User not found: @"),
        (550, "5.2.1 <@>... Addressee unknown, relay=[192.0.2.1]"),
        (550, "5.7.0 <@>... No such recipient"),
    ] {
        for stage in [Rcpt, Data, Text] {
            let found = judge(&replies, stage, code, &text.replace('@', "anna@mail.example"));
            assert_eq!((found.action, found.strikes), (Strike, Some(2)), "{stage:?} {code} {text}");
            assert_eq!(found.reason, Reason::InvalidAddress, "{code} {text}");
            assert!(!found.source.is_empty() || text.starts_with("5.2.1"), "{code} {text}: no source");
        }
        // A temporary failure is tried again, whatever is said; at MAIL nobody is known yet.
        assert_eq!(judge(&replies, Rcpt, 450, &text.replace("5.", "4.")).action, Retry, "{code} {text}");
        assert_eq!(judge(&replies, Mail, 550, "no such user").action, Stop);
    }
}

#[test]
fn what_only_sounds_like_no_such_user_does_not_count() {
    let replies = table();
    for (code, text, action, policy) in [
        // Of our sender address.
        (550, "5.1.0 <us@x>: Sender address rejected: User unknown in local recipient table", Reject, true),
        (550, "Verification failed for <us@x> Unrouteable address Sender verify failed", Reject, true),
        (550, "5.7.1 unknown sender", Reject, true),
        // Of our server.
        (550, "5.7.1 Too many unknown users, your address is blocked", Reject, true),
        (550, "Excessive unknown users: directory harvest attack", Reject, true),
        (554, "5.7.1 Service unavailable; Client host [192.0.2.1] blocked using bl.example", Reject, true),
        (550, "5.7.1 Your IP is on our block list", Reject, true),
        (550, "5.7.26 This mail has been blocked because the sender is unauthenticated", Reject, true),
        (554, "5.7.1 Message rejected under suspicion of SPAM", Reject, true),
        // Full, greylisted, and content.
        (552, "5.2.2 Mailbox size limit exceeded", Retry, false),
        (550, "Mailbox is full", Retry, false),
        (554, "5.7.0 mailbox full: no such user space", Retry, false),
        (451, "4.7.1 Greylisting in action: unknown user or server", Retry, false),
        (450, "4.1.1 <@>: Recipient address rejected: User unknown in local recipient table", Retry, false),
        (552, "5.3.4 Message too big for system", Reject, false),
        (554, "5.6.0 Message contains invalid header", Reject, false),
        (550, "5.4.1 no answer from host", Reject, false),
        (550, "5.4.1 Access denied", Reject, false),
        (550, "5.7.1 Requested action not taken: mailbox unavailable", Reject, true),
    ] {
        let found = judge(&replies, Rcpt, code, text);
        assert_eq!((found.action, found.policy), (action, policy), "{code} {text}");
        assert_eq!(found.suppress_after(), None, "{code} {text}");
    }
}

#[test]
fn the_reason_is_a_word_or_the_number_of_the_reply() {
    let replies = table();
    let reason = |stage, code, text| judge(&replies, stage, code, text).reason;
    assert_eq!(reason(Rcpt, 550, "5.1.1 x"), Reason::InvalidAddress);
    assert_eq!(reason(Text, 554, "5.7.1 x"), Reason::Rejected);
    assert_eq!(reason(Rcpt, 451, "4.3.0 x"), Reason::Provider(451));
    assert_eq!(reason(Rcpt, 450, "4.7.1 x"), Reason::Throttled);
    assert_eq!(reason(Rcpt, 250, "ok"), Reason::InvalidProviderResponse);
    assert!(judge(&replies, Rcpt, 555, "x").alarm);
    assert!(!judge(&replies, Rcpt, 550, "5.7.1 x").alarm);
    assert!(judge(&replies, Text, 550, "5.7.26 x").policy);
    assert!(!judge(&replies, Text, 554, "5.6.0 x").policy);
    // Rejections of the sender count as policy, rejections of an address do not.
    assert!(judge(&replies, Rcpt, 554, "5.7.1 Your IP is on our block list").policy);
    assert!(!judge(&replies, Rcpt, 550, "5.7.1 No such user!").policy);
}

#[test]
fn strikes_count_to_two() {
    let replies = table();
    let of = |text| judge(&replies, Rcpt, 550, text).strikes.unwrap_or_default();
    assert_eq!([of("no such user"), of("5.2.1 disabled"), of("5.4.4 no route"), of("5.1.1 x")], [2, 2, 2, 0]);
}

#[test]
fn greylisted_messages_wait_five_to_fifteen_minutes() {
    let replies = table();
    let classification = judge(&replies, Rcpt, 450, "4.7.1 greylisted");
    assert_eq!(
        (classification.after, classification.spread),
        (Some(Duration::from_secs(300)), Duration::from_secs(600))
    );
}

#[test]
fn waits_in_words_are_read() {
    for (text, wait) in [
        ("4.7.1 try again in 300 seconds", Some(300)),
        ("Greylisted, please try again in 5 minutes.", Some(300)),
        ("retry after 90s please", Some(90)),
        ("come back in 2 hours", Some(7200)),
        ("wait for 0 seconds", Some(1)),
        ("in 99999999999999999999 seconds", None),
        ("in 900000 seconds", Some(86400)),
        ("see http://x/help/300", None),
        ("in a while", None),
        ("", None),
    ] {
        assert_eq!(SmtpReply::new(450, text).wait(), wait.map(Duration::from_secs), "{text}");
    }
}

#[test]
fn a_reply_shows_its_codes_and_never_its_text() {
    let reply = SmtpReply::new(550, "5.1.1 <canary@example.org> no such user");
    assert_eq!(format!("{reply} {reply:?}"), "550 5.1.1 Reply(550 5.1.1)");
    assert_eq!(SmtpReply::new(250, "9.1.1 x").enhanced, None);
    assert_eq!(SmtpReply::new(250, "2.0.0.1 x").enhanced, None);
    assert_eq!(SmtpReply::new(250, "5.+1.1 x").enhanced, None);
}
