//! Bounces in words: messages of servers that write no report (RFC 3464). They count only if a known server wrote them,
//! in its known form, and only for "no such user", as a strike. Everything else is left to people: such a text may
//! quote anything.
//!
//! A message is a bounce in words if
//!
//! - it is from a server (`mailer-daemon`, `postmaster`) and has no mark of an out-of-office note or vacation program,
//! - its text begins as a form of [`FORMS`] does, and says that the failure is permanent,
//! - between that and the copy of our own message, a paragraph says that there is no such user, by the rules of
//!   `replies.toml`, and no paragraph names another cause: then the address was a list, and this is about one of its
//!   members. Quoted lines and everything in the copy are not read.

use posthaste_courier::response_rules::EnhancedCode;

use crate::parts::Part;
use crate::reply_rules::{ReplyRules, SmtpReply, SmtpStage, enhanced};

/// How much of a text is read. The cause is at its beginning.
const MOST_TEXT: usize = 64 * 1024;

/// How the bounces of a program look. All texts are in lower case, with single spaces.
struct BounceForm {
    /// The program.
    #[cfg_attr(not(test), expect(dead_code, reason = "the table is read by people too"))]
    program: &'static str,
    /// Where its form is described.
    #[cfg_attr(not(test), expect(dead_code, reason = "the table is read by people too"))]
    source: &'static str,
    /// The text begins with one of these.
    opens: &'static [&'static str],
    /// Before the copy of our message it says one of these: the failure is permanent.
    says: &'static [&'static str],
}

const FORMS: &[BounceForm] = &[
    BounceForm {
        program: "qmail",
        source: "cr.yp.to/proto/qsbmf.txt",
        opens: &["hi. this is the"],
        says: &["permanent error", "wasn't able to deliver"],
    },
    // mail.ru's own bounces have this form as well.
    BounceForm {
        program: "Exim",
        source: "exim.org, specification, Customizing bounce and warning messages",
        opens: &["this message was created automatically by mail delivery software"],
        says: &["could not be delivered", "permanent error"],
    },
    BounceForm {
        program: "sendmail",
        source: "sendmail 8.6 to 8.8, src/savemail.c",
        opens: &["the original message was received at"],
        says: &["had permanent fatal errors", "had permanent delivery errors"],
    },
    BounceForm {
        program: "Gmail",
        source: "github.com/sisimai/rb-sisimai, lib/sisimai/lhost/gmail.rb",
        opens: &[
            "delivery to the following recipient failed permanently",
            "this is an automatically generated delivery status notification",
        ],
        says: &["failed permanently"],
    },
    BounceForm {
        program: "Yahoo",
        source: "github.com/sisimai/rb-sisimai, lib/sisimai/lhost/yahoo.rb",
        opens: &["sorry, we were unable to deliver your message to the following address"],
        says: &["unable to deliver"],
    },
];

/// How lines begin with which the copy of our message starts, whoever wrote the bounce.
const COPY: &[&str] = &[
    "--- below this line is",
    "--- enclosed are the original headers",
    "--- undelivered message follows",
    "------ this is a copy of",
    "----- original message",
    "----- unsent message",
    "----- message header",
    "-----original message",
    "--- original message",
];

/// Headers with which a program says that it answers for a person.
const ANSWERS: &[&str] = &["X-Autoreply", "X-Autorespond", "X-Auto-Response", "X-Vacation"];

/// Whether a known server says in words that there is no such user.
pub(crate) fn says_no_such_user(message: &Part<'_>, replies: &ReplyRules) -> bool {
    if !is_of_a_server(message) {
        return false;
    }
    let Some(text) = message.text() else { return false };
    let paragraphs = paragraphs(&text);
    let Some(begin) = paragraphs.first() else { return false };
    let whole = paragraphs.join(" ");
    let fits = |form: &&BounceForm| {
        form.opens.iter().any(|opening| begin.starts_with(opening))
            && form.says.iter().any(|word| whole.contains(word))
    };
    let says_so = |paragraph: &str| is_no_such_user(code(paragraph), paragraph, replies);
    FORMS.iter().any(|form| fits(&form)) && all_say_so(&paragraphs, &says_so)
}

/// Whether the text of a report, for people, says that there is no such user: for reports without a diagnostic.
pub(crate) fn notification_says_so(message: &Part<'_>, replies: &ReplyRules) -> bool {
    message.text().is_some_and(|text| {
        all_say_so(&paragraphs(&text), &|paragraph| is_no_such_user(None, paragraph, replies))
    })
}

/// Whether a text says that there is no such user, whatever its code.
pub(crate) fn is_no_such_user(code: Option<EnhancedCode>, text: &str, replies: &ReplyRules) -> bool {
    // 554 alone means nothing; 550 alone would count, whatever is said.
    let reply = SmtpReply::of(if code.is_some() { 550 } else { 554 }, code, text);
    replies.classify(&reply.response(SmtpStage::Rcpt)).suppress_after().is_some()
}

fn is_of_a_server(message: &Part<'_>) -> bool {
    let raw = |name: &'static str| message.field(name).map(str::to_ascii_lowercase).unwrap_or_default();
    let from = raw("From");
    let answers = ANSWERS.iter().any(|name| message.field(name).is_some());
    // Exim and Gmail mark their bounces as automatic replies, but name the recipients that failed.
    let submitted = raw("Auto-Submitted");
    let replied = submitted.starts_with("auto-replied") && message.field("X-Failed-Recipients").is_none();
    (from.contains("mailer-daemon") || from.contains("postmaster"))
        && !answers
        && !replied
        && !submitted.contains("vacation")
        && raw("Precedence") != "auto_reply"
}

/// The paragraphs before the copy of our message, in lower case and with single spaces, without quoted lines.
fn paragraphs(text: &str) -> Vec<String> {
    let end = (0..=MOST_TEXT.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let mut paragraphs = vec![String::new()];
    for line in text[..end].lines() {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        if COPY.iter().any(|copy| line.starts_with(copy)) {
            break;
        }
        match paragraphs.last_mut() {
            Some(last) if line.is_empty() && !last.is_empty() => paragraphs.push(String::new()),
            Some(last) if !line.starts_with(['>', '|']) => {
                if !last.is_empty() {
                    last.push(' ');
                }
                last.push_str(&line);
            }
            _ => {}
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// Whether some paragraphs say so, and none names another cause.
fn all_say_so(paragraphs: &[String], says_so: &dyn Fn(&str) -> bool) -> bool {
    let mut said = false;
    for paragraph in paragraphs {
        match says_so(paragraph) {
            true => said = true,
            false if names_a_cause(paragraph) => return false,
            false => {}
        }
    }
    said
}

/// Whether a paragraph names why a message failed: by a code, or as qmail does, behind an address.
fn names_a_cause(paragraph: &str) -> bool {
    let is_reply =
        |word: &str| word.len() == 3 && word.starts_with(['4', '5']) && word.parse::<u16>().is_ok();
    let mut words = paragraph.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    (paragraph.starts_with('<') && paragraph.contains(' '))
        || words.any(is_reply)
        || codes(paragraph).any(|(class, ..)| class != 2)
}

/// The enhanced codes in a text.
fn codes(text: &str) -> impl Iterator<Item = EnhancedCode> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '.');
    words.filter_map(|word| enhanced(word.trim_matches('.')))
}

/// The code that a text names. x.0.0 says nothing.
fn code(text: &str) -> Option<EnhancedCode> {
    codes(text).find(|(class, subject, detail)| *class == 5 && (*subject, *detail) != (0, 0))
}

#[cfg(test)]
#[path = "text_bounce_tests.rs"]
mod tests;
