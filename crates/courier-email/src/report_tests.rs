//! Reports in the formats of different servers, and other messages to a return path.

use proptest::prelude::*;

use super::*;
use crate::reply_rules::TABLE;

/// What is received, without the codes.
fn received(message: &str) -> BounceReport {
    uncoded(coded(message))
}

fn uncoded(report: BounceReport) -> BounceReport {
    match report {
        BounceReport::Word { word, reason, suppress_after } => {
            BounceReport::Word { word, reason: CodedReason::uncoded(reason.reason), suppress_after }
        }
        other => other,
    }
}

fn coded(message: &str) -> BounceReport {
    let replies = ReplyRules::embedded(&TABLE).expect("the table");
    read(message.replace('\n', "\r\n").as_bytes(), &replies)
}

const NOW: BounceReport = BounceReport::Word {
    word: ReceiptStatus::Failed,
    reason: CodedReason::uncoded(Reason::Bounced),
    suppress_after: Some(SuppressAfter::Now),
};
const SECOND: BounceReport = BounceReport::Word {
    word: ReceiptStatus::Failed,
    reason: CodedReason::uncoded(Reason::Bounced),
    suppress_after: Some(SuppressAfter::After(2)),
};
const FAILED: BounceReport = BounceReport::Word {
    word: ReceiptStatus::Failed,
    reason: CodedReason::uncoded(Reason::Bounced),
    suppress_after: None,
};
const LATE: BounceReport = BounceReport::Word {
    word: ReceiptStatus::Failed,
    reason: CodedReason::uncoded(Reason::Undelivered),
    suppress_after: None,
};
const DELIVERED: BounceReport = BounceReport::Word {
    word: ReceiptStatus::Delivered,
    reason: CodedReason::uncoded(Reason::None),
    suppress_after: None,
};
const RELAYED: BounceReport = BounceReport::Word {
    word: ReceiptStatus::Sent,
    reason: CodedReason::uncoded(Reason::None),
    suppress_after: None,
};
const UNCLEAR: BounceReport = BounceReport::Nothing(Kind::Unclear);

/// A report with these groups of fields.
fn report(groups: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net (Mail Delivery System)\nTo: bounces+x@example.org\n\
         Subject: Undelivered Mail Returned to Sender\nAuto-Submitted: auto-replied\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=delivery-status;\n\tboundary=\"b1\"\n\nA MIME message.\n\n\
         --b1\nContent-Description: Notification\nContent-Type: text/plain; charset=us-ascii\n\n\
         It could not be delivered: 550 5.1.1 in words.\n\n\
         --b1\nContent-Description: Delivery report\nContent-Type: message/delivery-status\n\n\
         Reporting-MTA: dns; mx.example.net\nArrival-Date: Thu, 26 Nov 2026 10:00:00 +0000\n\n{groups}\n\n\
         --b1\nContent-Description: Undelivered Message\nContent-Type: message/rfc822\n\n\
         From: no-reply@example.org\nTo: anna@example.net\nAction: delivered\nSubject: News\n\nHello\n--b1--\n"
    )
}

fn group(action: &str, status: &str, diagnostic: &str) -> String {
    let more = if diagnostic.is_empty() { String::new() } else { format!("\nDiagnostic-Code: {diagnostic}") };
    format!("Final-Recipient: rfc822; anna@example.net\nAction: {action}\nStatus: {status}{more}")
}

#[test]
fn groups_mean_what_their_codes_say() {
    for (action, status, diagnostic, wanted) in [
        ("failed", "5.1.1", "", NOW),
        ("failed", "5.1.1", "smtp; 550 5.1.1 <anna@example.net>: Recipient address rejected", NOW),
        ("Failed", "5.1.1 (bad destination mailbox address)", "x-unix; unknown user: \"anna\"", NOW),
        ("failed", "5.1.2", "smtp; 550 Host unknown", NOW),
        ("failed", "5.1.3", "", NOW),
        ("failed", "5.1.6", "", NOW),
        ("failed", "5.1.10", "smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; not found", NOW),
        ("failed", "5.0.0", "smtp; 550 5.1.1 no such user", NOW),
        ("failed", "5.0.0", "smtp; 550-5.1.1 no such user", NOW),
        ("failed", "5.0.0", "smtp; 550 #5.1.1 no such user", NOW),
        ("failed", "5.0.0", "smtp; 556 no mail here", NOW),
        ("failed", "5.0.0", "smtp; 550 no such user", SECOND),
        ("failed", "5.2.1", "smtp; 550 5.2.1 disabled", SECOND),
        ("failed", "5.4.4", "x-postfix; Host or domain name not found", SECOND),
        ("failed", "5.7.1", "smtp; 550 5.7.1 No such user!", SECOND),
        ("failed", "5.0.0", "smtp; 550 5.7.1 User unknown", SECOND),
        ("failed", "5.7.1", "x-unix; No such user!", FAILED),
        ("failed", "5.7.1", "X-Notes; User anna (anna@example.net) user not found", SECOND),
        ("failed", "5.0.0", "x-qmail; sorry, no mailbox here by that name. (#5.1.1)", SECOND),
        ("failed", "5.7.26", "smtp; 550 5.7.26 no such user", SECOND),
        ("failed", "5.5.0", "smtp; 550 5.5.0 Requested action not taken: mailbox unavailable", SECOND),
        (
            "failed",
            "4.4.7",
            "smtp; 450 4.1.1 <anna@example.net>: User unknown in local recipient table",
            SECOND,
        ),
        ("failed", "", "smtp; user unknown", SECOND),
        ("failed", "4.4.7", "smtp; 450 4.7.1 greylisted", LATE),
        ("failed", "5.1.0", "smtp; 550 5.1.0 <x@y>: Sender address rejected: User unknown", FAILED),
        ("failed", "5.7.1", "smtp; 550 5.7.1 too many unknown users from your address", FAILED),
        ("failed", "5.0.0", "smtp; 550 mailbox is full", FAILED),
        ("failed", "5.4.1", "smtp;550 5.4.1 Recipient address rejected: Access denied. [AM0.eop]", SECOND),
        ("failed", "5.4.1", "smtp;550 5.4.1 no answer from host", FAILED),
        ("failed", "5.7.1", "smtp; 554 5.7.1 Your IP is on our block list", FAILED),
        ("failed", "5.2.2", "smtp; 552 5.2.2 mailbox full", FAILED),
        ("failed", "5.7.1", "smtp; 550 5.7.1 blocked", FAILED),
        ("failed", "5.7.26", "smtp; 550-5.7.26 unauthenticated", FAILED),
        ("failed", "5.3.4", "", FAILED),
        ("failed", "5.6.0", "", FAILED),
        ("failed", "5.1.8", "smtp; 553 5.1.8 your domain does not exist", FAILED),
        ("failed", "5.0.0", "", FAILED),
        ("failed", "5.0.0", "smtp; 554 transaction failed", FAILED),
        ("failed", "5.0.0", "x-unix; 550 5.1.1 whatever a program says", FAILED),
        ("failed", "5.7.1", "smtp; 550 5.1.1 disagrees", FAILED),
        ("failed", "4.4.1", "x-postfix; connect to mx: Connection timed out", LATE),
        ("failed", "4.4.7", "smtp; 550 5.1.1 late", LATE),
        ("failed", "", "", LATE),
        ("failed", "none", "", LATE),
        ("failed (will not be tried again)", "5.1.1", "", NOW),
        ("delayed", "4.4.1", "smtp; 451 4.7.1 greylisted", BounceReport::Nothing(Kind::Delayed)),
        ("delayed", "5.1.1", "", BounceReport::Nothing(Kind::Delayed)),
        ("delayed", "4.1.1", "smtp; 450 4.1.1 user unknown", BounceReport::Nothing(Kind::Delayed)),
        ("delivered", "2.0.0", "", DELIVERED),
        ("relayed", "2.0.0", "", RELAYED),
        ("expanded", "2.0.0", "", RELAYED),
        ("exploded", "5.1.1", "", UNCLEAR),
        ("", "5.1.1", "", UNCLEAR),
    ] {
        assert_eq!(
            received(&report(&group(action, status, diagnostic))),
            wanted,
            "{action} {status} {diagnostic}"
        );
    }
}

/// A report without a diagnostic may name the cause in its text for people.
#[test]
fn the_text_of_a_report_counts_where_it_has_no_diagnostic() {
    let said = |text: &str, groups: &str| {
        received(&report(groups).replace("It could not be delivered: 550 5.1.1 in words.", text))
    };
    let without = |status| group("failed", status, "");
    let no_user = "<anna@example.net>: host mx.example.net said: 550 5.7.1 No such user!";
    assert_eq!(said(no_user, &without("5.7.1")), SECOND);
    assert_eq!(said(no_user, &without("5.1.1")), NOW, "the code says more");
    assert_eq!(said(no_user, &without("4.4.7")), SECOND);
    assert_eq!(said(no_user, &group("failed", "5.7.1", "smtp; 550 5.7.1 blocked")), FAILED);
    assert_eq!(said(no_user, &group("delayed", "5.7.1", "")), BounceReport::Nothing(Kind::Delayed));
    assert_eq!(said(no_user, &format!("{}\n\n{}", without("5.7.1"), without("5.7.1"))), FAILED, "of whom?");
    for text in [
        "<anna@example.net>: mailbox full",
        "<anna@example.net>: 554 5.7.1 blocked by policy",
        "> no such user\n> user unknown",
        "Your message:\n\n----- Original message -----\n\nno such user",
    ] {
        assert_eq!(said(text, &without("5.7.1")), FAILED, "{text}");
    }
}

#[test]
fn a_bounce_keeps_reply_code_and_enhanced_status() {
    for (status, diagnostic, wanted) in [
        ("5.1.1", "smtp; 550 5.1.1 <anna@example.net>: Recipient address rejected", "550 5.1.1"),
        ("5.7.1", "smtp; 554 5.7.1 Your IP is on our block list", "554 5.7.1"),
        ("5.0.0", "smtp; 550-5.1.1 no such user", "550 5.1.1"),
        ("5.1.2", "smtp; 550 Host unknown", "550 5.1.2"),
        ("5.1.1", "", "5.1.1"),
        ("5.0.0", "smtp; 554 transaction failed", "554 5.0.0"),
        ("5.4.4", "x-postfix; Host or domain name not found", "5.4.4"),
        ("4.4.1", "x-postfix; connect to mx: Connection timed out", "4.4.1"),
        ("", "", ""),
    ] {
        let BounceReport::Word { reason, .. } = coded(&report(&group("failed", status, diagnostic))) else {
            panic!("{status} {diagnostic} is a failure");
        };
        assert_eq!(reason.code.to_string(), wanted, "{status} {diagnostic}");
    }
}

#[test]
fn the_best_word_of_several_recipients_counts_and_the_mildest_of_failures() {
    let [dead, full, late] = [("failed", "5.1.1"), ("failed", "5.2.2"), ("delayed", "4.4.1")]
        .map(|(action, status)| group(action, status, ""));
    let (there, further) = (group("delivered", "2.0.0", ""), group("relayed", "2.0.0", ""));
    for (groups, wanted) in [
        (vec![&dead, &dead], NOW),
        (vec![&dead, &full], FAILED),
        (vec![&full, &dead, &late], BounceReport::Nothing(Kind::Delayed)),
        (vec![&dead, &further], RELAYED),
        (vec![&there, &dead, &further], DELIVERED),
    ] {
        let text = groups.into_iter().cloned().collect::<Vec<_>>().join("\n\n");
        assert_eq!(received(&report(&text)), wanted, "{text}");
    }
}

/// Exim: fields of the message first, the text that failed as rfc822-headers, a status without detail.
#[test]
fn a_report_of_exim_is_read() {
    let text = "Return-path: <>\nX-Failed-Recipients: anna@example.net\nAuto-Submitted: auto-replied\n\
        From: Mail Delivery System <Mailer-Daemon@mx.example.org>\nTo: bounces+x@example.org\n\
        Content-Type: multipart/report; report-type=delivery-status; boundary=1764-eximdsn-11\n\
        MIME-Version: 1.0\nSubject: Mail delivery failed: returning message to sender\n\n\
        --1764-eximdsn-11\nContent-type: text/plain; charset=us-ascii\n\nA message could not be delivered.\n\n\
        --1764-eximdsn-11\nContent-type: message/delivery-status\n\nReporting-MTA: dns; mx.example.org\n\n\
        Action: failed\nFinal-Recipient: rfc822;anna@example.net\nStatus: 5.0.0\n\
        Remote-MTA: dns; mx.example.net\nDiagnostic-Code: smtp; 550 5.1.1 The mailbox is\n unavailable\n\n\
        --1764-eximdsn-11\nContent-type: text/rfc822-headers\n\nSubject: News\n\n--1764-eximdsn-11--\n";
    assert_eq!(received(text), NOW);
}

/// Exchange: nested alternatives before the report, comments and folds, a type of report in capitals.
#[test]
fn a_report_of_exchange_is_read() {
    let text = "From: <postmaster@example.net>\nTo: <bounces+x@example.org>\nMIME-Version: 1.0\n\
        Content-Type: Multipart/Report; report-type=\"Delivery-Status\";\n\tboundary=\"outer_000\"\n\
        X-MS-Exchange-Message-Is-Ndr:\nContent-Language: en-GB\nSubject: Undeliverable: News\n\
        Auto-Submitted: auto-replied\n\n--outer_000\n\
        Content-Type: multipart/alternative; differences=Content-Type;\n\tboundary=\"inner_000\"\n\n\
        --inner_000\nContent-Type: text/plain; charset=\"us-ascii\"\nContent-Transfer-Encoding: quoted-printable\n\n\
        Your message to anna couldn't be delivered.=20\n\n\
        --inner_000\nContent-Type: text/html; charset=\"us-ascii\"\n\n<html><body>No</body></html>\n\n--inner_000--\n\n\
        --outer_000\nContent-Type: Message/Delivery-Status\n\n\
        Reporting-MTA: dns;mail.example.net\nReceived-From-MTA: dns;mx.example.org\n\
        Arrival-Date: Thu, 26 Nov 2026 10:00:00 +0000\n\n\
        Original-Recipient: rfc822;anna@example.net\nFinal-Recipient: rfc822;anna@example.net\nAction: failed\n\
        Status: 5.1.10\nDiagnostic-Code: smtp;550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient not found by\n\
        \tSMTP address lookup\n\n\
        --outer_000\nContent-Type: message/rfc822\n\nSubject: News\n\nHello\n--outer_000--\n";
    assert_eq!(received(text), NOW);
}

/// Gmail: a related part with a picture first, base64, X- fields after the status.
#[test]
fn a_report_of_gmail_is_read() {
    let text = "From: Mail Delivery Subsystem <mailer-daemon@mail.example.com>\nTo: bounces+x@example.org\n\
        Auto-Submitted: auto-replied\nSubject: Delivery Status Notification (Failure)\n\
        Content-Type: multipart/report; boundary=\"00000000000059\"; report-type=delivery-status\n\n\
        --00000000000059\nContent-Type: multipart/related; boundary=\"0000000000005a\"\n\n\
        --0000000000005a\nContent-Type: multipart/alternative; boundary=\"0000000000005b\"\n\n\
        --0000000000005b\nContent-Type: text/plain; charset=\"UTF-8\"\n\nAddress not found\n\n\
        --0000000000005b\nContent-Type: text/html; charset=\"UTF-8\"\n\n<b>Address not found</b>\n\n\
        --0000000000005b--\n--0000000000005a\nContent-Type: image/png; name=\"icon.png\"\n\
        Content-Transfer-Encoding: base64\n\niVBORw0KGgo=\n\n--0000000000005a--\n\
        --00000000000059\nContent-Type: message/delivery-status\n\n\
        Reporting-MTA: dns; mail.example.com\nReceived-From-MTA: dns; no-reply@example.org\n\
        Arrival-Date: Thu, 26 Nov 2026 02:00:00 -0800 (PST)\nX-Original-Message-ID: <1@example.org>\n\n\
        Final-Recipient: rfc822; anna@example.net\nAction: failed\nStatus: 5.1.1\n\
        Remote-MTA: dns; mx.example.net. (192.0.2.1, the server for the domain example.net.)\n\
        Diagnostic-Code: smtp; 550-5.1.1 The email account that you tried to reach does not exist.\n\
        \x20550 5.1.1 Please check it.\nLast-Attempt-Date: Thu, 26 Nov 2026 02:00:01 -0800 (PST)\n\n\
        --00000000000059\nContent-Type: message/rfc822\n\nSubject: News\n\nHello\n\n--00000000000059--\n";
    assert_eq!(received(text), NOW);
}

#[test]
fn reports_in_other_letters_and_encodings_are_read() {
    let global = report(&group("failed", "5.1.1", ""))
        .replace(
            "message/delivery-status\n",
            "message/global-delivery-status\nContent-Transfer-Encoding: 8bit\n",
        )
        .replace("rfc822; anna", "utf-8; Жанна");
    assert_eq!(received(&global), NOW);
    let unreported = report(&group("failed", "5.1.1", "")).replace(" report-type=delivery-status;", "");
    assert_eq!(received(&unreported), NOW);
    use base64::Engine;
    let encoded = base64::engine::general_purpose::STANDARD.encode(format!(
        "Reporting-MTA: dns; x\r\n\r\n{}\r\n",
        group("failed", "5.1.1", "").replace('\n', "\r\n")
    ));
    let text = format!(
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n\
         Content-Type: message/delivery-status\nContent-Transfer-Encoding: base64\n\n{encoded}\n--b--\n"
    );
    assert_eq!(received(&text), NOW);
    // Bare line feeds, as in a file.
    let replies = ReplyRules::embedded(&TABLE).expect("the table");
    assert_eq!(uncoded(read(report(&group("failed", "5.1.1", "")).as_bytes(), &replies)), NOW);
}

#[test]
fn a_report_whose_end_is_missing_is_read_as_far_as_it_goes() {
    let whole = report(&group("failed", "5.1.1", "smtp; 550 5.1.1 no"));
    let at = whole.find("Content-Type: message/rfc822").expect("the part with the message");
    assert_eq!(received(&whole[..at]), NOW);
    let before = whole.find("Content-Type: message/delivery-status").expect("the report");
    assert_eq!(received(&whole[..before]), UNCLEAR);
}

fn complaint(kind: &str) -> String {
    format!(
        "From: <feedback@example.net>\nTo: <bounces+x@example.org>\nSubject: FW: News\nMIME-Version: 1.0\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"b1\"\n\n\
         --b1\nContent-Type: text/plain; charset=\"US-ASCII\"\n\nThis is a report of abuse.\n\n\
         --b1\nContent-Type: message/feedback-report\n\nFeedback-Type: {kind}\nUser-Agent: SomeGenerator/1.0\n\
         Version: 1\n\n--b1\nContent-Type: message/rfc822\n\nSubject: News\n\nHello\n--b1--\n"
    )
}

#[test]
fn complaints_of_abuse_are_distinguished_from_other_feedback() {
    assert_eq!(received(&complaint("abuse")), BounceReport::Complaint);
    assert_eq!(received(&complaint("Abuse")), BounceReport::Complaint);
    for kind in ["not-spam", "fraud", "virus", "other", "", "abuse-of-nothing"] {
        assert_eq!(received(&complaint(kind)), UNCLEAR, "{kind}");
    }
}

#[test]
fn what_is_no_report_is_never_acted_upon() {
    let bounce_in_words = "From: MAILER-DAEMON@mx.example.net\nSubject: failure notice\n\n\
        Hi. This is the mail program at mx.example.net.\n\n<anna@example.net>:\n550 5.1.1 no such user\n";
    assert_eq!(received(bounce_in_words), BounceReport::Nothing(Kind::Other));
    let holiday =
        "From: anna@example.net\nSubject: Out of office\nAuto-Submitted: auto-replied\n\n550 5.1.1\n";
    assert_eq!(received(holiday), BounceReport::Nothing(Kind::Automatic));
    for line in ["Auto-Submitted: auto-generated (vacation)", "X-Autoreply: yes", "Precedence: auto_reply"] {
        assert_eq!(
            received(&format!("From: a@b.cd\n{line}\n\nx\n")),
            BounceReport::Nothing(Kind::Automatic),
            "{line}"
        );
    }
    assert_eq!(received("From: a@b.cd\nAuto-Submitted: no\n\nx\n"), BounceReport::Nothing(Kind::Other));
    // A report that was forwarded, or pasted into a text, is not a report.
    let inside = report(&group("failed", "5.1.1", ""));
    assert_eq!(received(&format!("From: a@b.cd\n\n{inside}")), BounceReport::Nothing(Kind::Other));
    let forwarded = format!("From: a@b.cd\nContent-Type: message/rfc822\n\n{inside}");
    assert_eq!(received(&forwarded), BounceReport::Nothing(Kind::Other));
    let read_it = report("").replace("delivery-status", "disposition-notification");
    assert_eq!(received(&read_it), BounceReport::Nothing(Kind::Automatic));
    // The report must be its own part: fields in a text or in the returned message are not a report.
    let in_text = report("").replace("message/delivery-status", "text/plain") + &group("failed", "5.1.1", "");
    assert_eq!(received(&in_text), UNCLEAR);
    assert_eq!(received(&report("")), UNCLEAR);
    for nothing in ["", "\n\n", "\0", ":", "Content-Type: multipart/report; report-type=delivery-status"] {
        assert!(matches!(received(nothing), BounceReport::Nothing(_)), "{nothing:?}");
    }
}

proptest! {
    #[test]
    fn no_bytes_are_too_strange_to_be_read(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
        let replies = ReplyRules::embedded(&TABLE).expect("the table");
        read(&bytes, &replies);
    }

    #[test]
    fn no_change_of_a_report_is_too_strange(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..20),
        status in "[0-9.() a-z]{0,12}",
        diagnostic in "\\PC{0,60}",
    ) {
        let replies = ReplyRules::embedded(&TABLE).expect("the table");
        let mut bytes = report(&group("failed", &status, &format!("smtp; {diagnostic}"))).into_bytes();
        for (at, byte, what) in changes {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        read(&bytes, &replies);
    }
}
