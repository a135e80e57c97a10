//! Finds the log lines in the code of a file, without those of its tests.

use posthaste_catalogue::log_events::LogLevel;
use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A call of a macro that logs at level info or above.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogLine {
    /// The line of the file, counting from 1.
    pub(super) line: usize,
    /// `None` for `event!`, which takes the level as an argument.
    pub(super) level: Option<LogLevel>,
    /// Its fields `event`.
    pub(super) events: Vec<Event>,
}

/// The value of a field `event`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A name.
    Literal(String),
    /// Anything else.
    Value,
}

/// The log lines of a file.
pub(super) fn log_lines(tokens: TokenStream) -> Vec<LogLine> {
    let mut lines = Vec::new();
    look(tokens, &mut lines);
    lines
}

fn look(tokens: TokenStream, lines: &mut Vec<LogLine>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut in_test = false;
    for (at, token) in tokens.iter().enumerate() {
        let before = |n: usize| at.checked_sub(n).and_then(|at| tokens.get(at)).map(ToString::to_string);
        let before = (before(2), before(1));
        let before = (before.0.as_deref(), before.1.as_deref());
        match token {
            TokenTree::Group(group) => {
                let inside = group.stream();
                let is_attribute = group.delimiter() == Delimiter::Bracket && before.1 == Some("#");
                if is_attribute && inside.to_string().replace(' ', "") == "cfg(test)" {
                    in_test = true;
                } else if in_test {
                    // The attribute ends with the body of its item.
                    in_test = group.delimiter() != Delimiter::Brace;
                } else {
                    if let (Some(name), Some("!")) = before
                        && let Some(level) = level(name)
                    {
                        let line = group.span_open().start().line;
                        lines.push(LogLine { line, level, events: events(inside.clone()) });
                    }
                    look(inside, lines);
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => in_test = false,
            _ => {}
        }
    }
}

/// The level of a macro; `None` if it is none of ours.
fn level(name: &str) -> Option<Option<LogLevel>> {
    match name {
        "error" => Some(Some(LogLevel::Error)),
        "warn" => Some(Some(LogLevel::Warn)),
        "info" => Some(Some(LogLevel::Info)),
        "event" => Some(None),
        _ => None,
    }
}

fn events(arguments: TokenStream) -> Vec<Event> {
    let arguments: Vec<TokenTree> = arguments.into_iter().collect();
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    arguments.split(is_comma).filter_map(event).collect()
}

/// The event of an argument `event = "…"`, `event`, or `event = …`.
fn event(argument: &[TokenTree]) -> Option<Event> {
    let words: Vec<String> = argument.iter().map(ToString::to_string).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["event", "=", value] => {
            let name = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            Some(name.map_or(Event::Value, |name| Event::Literal(name.to_owned())))
        }
        ["event"] | ["event", "=", ..] | ["%" | "?", "event"] => Some(Event::Value),
        _ => None,
    }
}
