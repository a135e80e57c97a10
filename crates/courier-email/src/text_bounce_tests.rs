//! Bounces in words as servers write them, and what only looks like one.

use posthaste_courier::{ReceiptStatus, SuppressAfter};
use posthaste_model::{CodedReason, Reason};

use super::*;
use crate::dsn::{BounceReport, Kind, read};
use crate::reply_rules::TABLE;

const STRIKE: BounceReport = BounceReport::Word {
    word: ReceiptStatus::Failed,
    reason: CodedReason::uncoded(Reason::Bounced),
    suppress_after: Some(SuppressAfter::After(2)),
};
const AUTOMATIC: BounceReport = BounceReport::Nothing(Kind::Automatic);
const OTHER: BounceReport = BounceReport::Nothing(Kind::Other);

fn received(message: &str) -> BounceReport {
    let replies = ReplyRules::embedded(&TABLE).expect("the table");
    read(message.replace('\n', "\r\n").as_bytes(), &replies)
}

const DAEMON: &str =
    "From: MAILER-DAEMON@mx.example.net\nTo: bounces+x@example.org\nSubject: failure notice\n";

/// A bounce of qmail with these paragraphs about recipients.
fn qmail(recipients: &str) -> String {
    format!(
        "{DAEMON}\nHi. This is the qmail-send program at mx.example.net.\n\
         I'm afraid I wasn't able to deliver your message to the following addresses.\n\
         This is a permanent error; I've given up. Sorry it didn't work out.\n\n{recipients}\n\n\
         --- Below this line is a copy of the message.\n\nReturn-Path: <bounces+x@example.org>\n\
         Subject: News\n\n<b@example.net>:\nUser unknown, no such user (#5.1.1)\n"
    )
}

/// A bounce of Exim in the form it had before it wrote reports, with these headers.
fn exim(headers: &str, text: &str) -> String {
    format!(
        "From: Mail Delivery System <Mailer-Daemon@mx.example.net>\nTo: bounces+x@example.org\n{headers}\
         Subject: Mail delivery failed: returning message to sender\n\n\
         This message was created automatically by mail delivery software.\n\n{text}\n\n\
         ------ This is a copy of the message, including all the headers. ------\n\n\
         Subject: News\n\nuser unknown\n"
    )
}

const EXIM_FAILED: &str = "A message that you sent could not be delivered to one or more of its\n\
    recipients. This is a permanent error. The following address(es) failed:\n\n";
const EXIM_HEADERS: &str = "X-Failed-Recipients: anna@example.net\nAuto-Submitted: auto-replied\n";

#[test]
fn known_servers_that_say_no_such_user_count_as_a_strike() {
    let from_exim =
        |cause: &str| exim(EXIM_HEADERS, &format!("{EXIM_FAILED}  anna@example.net\n    {cause}"));
    let gmail = format!(
        "From: Mail Delivery Subsystem <mailer-daemon@googlemail.com>\n{EXIM_HEADERS}\n\
         Delivery to the following recipient failed permanently:\n\n     anna@example.net\n\n\
         Technical details of permanent failure:\nGoogle tried to deliver your message, but it was rejected by the\n\
         server for the recipient domain example.net by mx.example.net. [192.0.2.1].\n\n\
         The error that the other server returned was:\n550 5.7.1 No such user!\n\n\
         ----- Original message -----\n\nSubject: News\n\nmailbox full\n"
    );
    let yahoo = format!(
        "{DAEMON}\nSorry, we were unable to deliver your message to the following address.\n\n\
         <anna@example.net>:\nRemote host said: 554 delivery error: dd This user doesn't have a example.net account\n\n\
         --- Below this line is a copy of the message.\n\nx\n"
    );
    let sendmail = format!(
        "{DAEMON}Auto-Submitted: auto-generated (failure)\n\n\
         The original message was received at Thu, 26 Nov 2026 10:00:00 +0100\nfrom relay.example.org [192.0.2.1]\n\n\
         \x20  ----- The following addresses had permanent fatal errors -----\n<anna@example.net>\n\n\
         \x20  ----- Transcript of session follows -----\n... while talking to mx.example.net.:\n\
         >>> RCPT To:<anna@example.net>\n<<< 550 <anna@example.net>... User unknown\n\
         550 <anna@example.net>... User unknown\n\n   ----- Original message follows -----\n\nSubject: x\n\n5.2.2\n"
    );
    for message in [
        qmail("<anna@example.net>:\nSorry, no mailbox here by that name. (#5.1.1)"),
        qmail("<anna@example.net>:\nThis address no longer accepts mail. (#5.1.1)"),
        qmail(
            "<anna@example.net>:\n192.0.2.1 does not like recipient.\nRemote host said: 550 5.7.1 No such user!\nGiving up on 192.0.2.1.",
        ),
        qmail("<anna@example.net>:\nno such user\n\n<b@example.net>:\nuser unknown"),
        qmail("<anna@example.net>:\nno such user")
            .replace("\n\nHi.", "\nContent-Type: text/plain; charset=koi8-r\n\nHi."),
        from_exim("Unrouteable address"),
        from_exim(
            "SMTP error from remote mail server after RCPT TO:<anna@example.net>:\n    host mxs.mail.example [192.0.2.1]: 550 Message was not accepted -- invalid mailbox.\n    Local mailbox anna@example.net is unavailable: user not found",
        ),
        from_exim("unknown user").replace(
            "\n\nThis",
            "\nContent-Type: text/plain\nContent-Transfer-Encoding: quoted-printable\n\nThis",
        ),
        gmail,
        yahoo,
        sendmail,
    ] {
        assert_eq!(received(&message), STRIKE, "{message}");
    }
}

#[test]
fn other_causes_and_other_senders_do_not_count() {
    let no_user = "<anna@example.net>:\nno such user";
    for (message, wanted) in [
        // Another cause.
        (qmail("<anna@example.net>:\nMailbox full (#5.2.2)"), OTHER),
        (qmail("<anna@example.net>:\nUser is over the quota. You can try again later."), OTHER),
        (qmail("<anna@example.net>:\nRemote host said: 554 5.7.1 blocked by policy"), OTHER),
        (
            qmail("<anna@example.net>:\nRemote host said: 550 5.1.0 Sender address rejected: User unknown"),
            OTHER,
        ),
        (qmail("<anna@example.net>:\nSorry, I couldn't find any host by that name. (#4.1.2)"), OTHER),
        (qmail(""), OTHER),
        // One of several: the address was a list.
        (qmail(&format!("{no_user}\n\n<b@example.net>:\nMailbox full (#5.2.2)")), OTHER),
        (qmail(&format!("<b@example.net>:\nQuota is used up.\n\n{no_user}")), OTHER),
        // Only in what is quoted.
        (qmail("<anna@example.net>:\nRemote host said: 554 no\n> 550 5.1.1 no such user"), OTHER),
        // Not permanent.
        (
            qmail(no_user).replace("permanent", "temporary").replace("wasn't able to deliver", "keep trying"),
            OTHER,
        ),
        (
            exim(
                EXIM_HEADERS,
                "A message that you sent has not yet been delivered to one or more of its\nrecipients after more than 24 hours.\n\n  anna@example.net\n    unknown user",
            ),
            AUTOMATIC,
        ),
        // Not the form.
        (format!("{DAEMON}\n<anna@example.net>: 550 5.1.1 no such user\n"), OTHER),
        (
            format!(
                "{DAEMON}\nHello.\n\nHi. This is the qmail-send program. This is a permanent error.\n\n{no_user}\n"
            ),
            OTHER,
        ),
        // Not a server.
        (qmail(no_user).replace("MAILER-DAEMON@", "anna@"), OTHER),
        (
            format!(
                "From: anna@example.net\nSubject: Re: News\n\n> Hi. This is the qmail-send program\n> permanent error\n> {no_user}\n"
            ),
            OTHER,
        ),
    ] {
        assert_eq!(received(&message), wanted, "{message}");
    }
}

#[test]
fn an_automatic_note_never_counts() {
    let text = "Hi. This is the answering program of Anna. I wasn't able to deliver your message to her: this is a \
        permanent error.\n\n<anna@example.net>:\nno such user until Monday (#5.1.1)\n";
    for header in [
        "Auto-Submitted: auto-replied",
        "Auto-Submitted: auto-replied (vacation)",
        "Auto-Submitted: auto-generated (vacation)",
        "X-Autoreply: yes",
        "X-Autorespond: away",
        "X-Vacation: yes",
        "Precedence: auto_reply",
    ] {
        for from in ["anna@example.net", "MAILER-DAEMON@example.net", "postmaster@example.net"] {
            let note = format!("From: {from}\nSubject: Out of office\n{header}\n\n{text}");
            assert!(matches!(received(&note), AUTOMATIC | OTHER), "{note}");
        }
    }
    let plain = format!("From: Anna <anna@example.net>\nSubject: Out of office\n\n{text}");
    assert_eq!(received(&plain), OTHER);
    // A note that names recipients as Exim does is still a note.
    let named =
        format!("From: MAILER-DAEMON@example.net\n{EXIM_HEADERS}X-Autoreply: yes\nSubject: Away\n\n{text}");
    assert_eq!(received(&named), AUTOMATIC);
}

#[test]
fn long_texts_and_strange_ones_are_read_to_their_bound() {
    let far = format!("{}<anna@example.net>:\nno such user", "x ".repeat(MOST_TEXT));
    assert_eq!(received(&qmail(&far)), OTHER);
    let wide = format!("{DAEMON}\nHi. This is the {}", "я".repeat(MOST_TEXT));
    assert_eq!(received(&wide), OTHER);
    assert_eq!(received(&qmail(&"\n".repeat(100_000))), OTHER);
}

#[test]
fn every_form_has_a_source_and_can_match() {
    for form in FORMS {
        assert!(!form.program.is_empty() && form.source.contains(['.', '/']), "{}", form.program);
        for text in form.opens.iter().chain(form.says).chain(COPY) {
            let normal = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            assert_eq!(*text, normal, "{}", form.program);
        }
        let message =
            format!("{DAEMON}\n{}\n\n{}\n\n<anna@example.net>:\nno such user\n", form.opens[0], form.says[0]);
        assert_eq!(received(&message), STRIKE, "{}", form.program);
    }
}
