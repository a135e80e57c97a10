//! Parses command lines.

/// A command; the form of its arguments is checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Ehlo(&'a str),
    Helo(&'a str),
    StartTls,
    /// The mechanism and, if present, the initial response.
    Auth(&'a str, Option<&'a str>),
    Mail(Path<'a>),
    Rcpt(Path<'a>),
    Data,
    Reset,
    Noop,
    Verify,
    Help,
    Quit,
}

/// The text between the angle brackets, and the parameters after them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Path<'a> {
    pub(super) address: &'a str,
    pub(super) parameters: &'a str,
}

/// The longest accepted address; RFC 5321 requires 256.
pub(super) const MOST_ADDRESS_BYTES: usize = 512;

/// Why a line is not a command: the code and text to answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadCommand(pub(super) u16, pub(super) &'static str);

const SYNTAX: BadCommand = BadCommand(501, "5.5.4 Syntax error in the arguments");

/// Parses a line without its end.
pub(super) fn parse(line: &[u8]) -> Result<Command<'_>, BadCommand> {
    let text = std::str::from_utf8(line).map_err(|_| BadCommand(500, "5.5.2 The line is not UTF-8"))?;
    if text.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(BadCommand(500, "5.5.2 The line holds control characters"));
    }
    let text = text.trim_end_matches([' ', '\t']);
    let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
    let rest = rest.trim_start_matches(' ');
    let is = |name: &str| verb.eq_ignore_ascii_case(name);
    let alone = |command| if rest.is_empty() { Ok(command) } else { Err(SYNTAX) };
    if is("EHLO") || is("HELO") {
        if rest.is_empty() || rest.len() > 255 || rest.contains(' ') {
            return Err(SYNTAX);
        }
        return Ok(if is("EHLO") { Command::Ehlo(rest) } else { Command::Helo(rest) });
    }
    if is("MAIL") {
        return path(rest, "FROM:").map(Command::Mail);
    }
    if is("RCPT") {
        return path(rest, "TO:").map(Command::Rcpt);
    }
    if is("AUTH") {
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        return match mechanism {
            "" => Err(SYNTAX),
            mechanism => Ok(Command::Auth(mechanism, Some(initial).filter(|text| !text.is_empty()))),
        };
    }
    match () {
        () if is("DATA") => alone(Command::Data),
        () if is("RSET") => alone(Command::Reset),
        () if is("STARTTLS") => alone(Command::StartTls),
        () if is("QUIT") => alone(Command::Quit),
        () if is("NOOP") => Ok(Command::Noop),
        () if is("HELP") => Ok(Command::Help),
        () if is("VRFY") => Ok(Command::Verify),
        () => Err(BadCommand(500, "5.5.2 Command not recognised")),
    }
}

fn path<'a>(rest: &'a str, word: &str) -> Result<Path<'a>, BadCommand> {
    let (front, rest) = rest.split_at_checked(word.len()).ok_or(SYNTAX)?;
    if !front.eq_ignore_ascii_case(word) {
        return Err(SYNTAX);
    }
    let inside = rest.trim_start_matches(' ').strip_prefix('<').ok_or(SYNTAX)?;
    let end = closing(inside).ok_or(SYNTAX)?;
    let (address, rest) = (inside.get(..end).ok_or(SYNTAX)?, inside.get(end + 1..).ok_or(SYNTAX)?);
    if !(rest.is_empty() || rest.starts_with(' ')) {
        return Err(SYNTAX);
    }
    if !(address.is_empty() || is_mailbox(address)) {
        return Err(BadCommand(501, "5.1.3 Bad address"));
    }
    Ok(Path { address, parameters: rest.trim_start_matches(' ') })
}

/// Where the bracket closes; quoted ones are skipped.
fn closing(text: &str) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(at),
            _ => {}
        }
    }
    None
}

/// Rough: a local part, quoted or without blanks and brackets, `@`, and a domain without blanks. `postmaster` alone is
/// valid too.
fn is_mailbox(address: &str) -> bool {
    let Some((local, domain)) = address.rsplit_once('@') else {
        return address.eq_ignore_ascii_case("postmaster");
    };
    let plain = |text: &str| {
        !text.is_empty() && !text.contains([' ', '\t', '<', '>', '@', '"', ',', ';', '\\', '(', ')'])
    };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    (1..=MOST_ADDRESS_BYTES).contains(&address.len()) && (quoted || plain(local)) && plain(domain)
}

/// A text without its leading enhanced code.
pub(super) fn without_enhanced_code(text: &str) -> &str {
    match text.split_once(' ') {
        Some((code, rest)) if code.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_without_regard_to_case() {
        assert_eq!(parse(b"ehlo host.test"), Ok(Command::Ehlo("host.test")));
        assert_eq!(parse(b"Data  "), Ok(Command::Data));
        assert_eq!(parse(b"AUTH PLAIN AGEAYg=="), Ok(Command::Auth("PLAIN", Some("AGEAYg=="))));
        let path = Path { address: "a@b.test", parameters: "SIZE=10 BODY=8BITMIME" };
        assert_eq!(parse(b"MAIL FROM: <a@b.test> SIZE=10 BODY=8BITMIME"), Ok(Command::Mail(path)));
        let path = Path { address: "\"a>b c\"@d.test", parameters: "" };
        assert_eq!(parse(b"rcpt to:<\"a>b c\"@d.test>"), Ok(Command::Rcpt(path)));
        assert_eq!(parse(b"MAIL FROM:<>"), Ok(Command::Mail(Path { address: "", parameters: "" })));
    }

    #[test]
    fn bad_lines_are_refused() {
        for (line, code) in [
            (&b""[..], 500),
            (b"GET / HTTP/1.1", 500),
            (b"EHLO", 501),
            (b"EHLO a b", 501),
            (b"MAIL", 501),
            (b"MAIL FROM", 501),
            (b"MAIL FROM:a@b.test", 501),
            (b"MAIL FROM:<a@b.test", 501),
            (b"MAIL FROM:<a@b.test>x", 501),
            (b"MAIL FROM:<a@b.test,c@d.test>", 501),
            (b"RCPT TO:<@>", 501),
            (b"RCPT TO:<a b@c.test>", 501),
            (b"RCPT TO:<a@b@c.test>", 501),
            (b"RCPT TO:<a@b\rRCPT TO:<c@d.test>", 500),
            (b"NOOP \0", 500),
            (b"DATA now", 501),
            (b"\xff\xfe", 500),
        ] {
            assert_eq!(parse(line).unwrap_err().0, code, "{line:?}");
        }
        let long = format!("RCPT TO:<{}@b.test>", "a".repeat(MOST_ADDRESS_BYTES));
        assert_eq!(parse(long.as_bytes()).unwrap_err().0, 501);
    }
}
