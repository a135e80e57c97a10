//! Code that hides a problem instead of solving it: ignored tests, disabled lints, assertions that
//! cannot fail, tests without content. Comments and strings may contain these words; code may not.

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::Finding;
use crate::workspace::File;

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is("rs")) {
        match file.text.parse::<TokenStream>() {
            Ok(tokens) => look(file, tokens, &mut findings),
            Err(error) => findings.push(Finding::new(&file.path, format!("is not valid Rust: {error}"))),
        }
    }
    findings
}

fn look(file: &File, tokens: TokenStream, findings: &mut Vec<Finding>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (i, token) in tokens.iter().enumerate() {
        let before = |n: usize| i.checked_sub(n).and_then(|at| tokens.get(at)).map(ToString::to_string);
        let TokenTree::Group(group) = token else { continue };
        let line = group.span_open().start().line;
        let inside = group.stream();
        let attributed = match before(1).as_deref() {
            Some("#") => true,
            Some("!") => before(2).as_deref() == Some("#"),
            _ => false,
        };
        if group.delimiter() == Delimiter::Bracket && attributed {
            attribute(file, line, &inside, findings);
        }
        let called = if before(1).as_deref() == Some("!") { before(2) } else { None };
        if matches!(called.as_deref(), Some("assert" | "debug_assert")) {
            let first = inside.clone().into_iter().next().map(|token| token.to_string());
            if first.as_deref() == Some("true") {
                findings.push(Finding::line(&file.path, line, "this assertion cannot fail"));
            }
        }
        if group.delimiter() == Delimiter::Brace && inside.is_empty() && is_test(&tokens[..i]) {
            findings.push(Finding::line(&file.path, line, "this test is empty"));
        }
        look(file, inside, findings);
    }
}

fn attribute(file: &File, line: usize, inside: &TokenStream, findings: &mut Vec<Finding>) {
    // `cfg_attr` carries other attributes, so every word of the attribute counts.
    for word in inside.clone() {
        let TokenTree::Ident(word) = word else { continue };
        match word.to_string().as_str() {
            "ignore" => {
                findings.push(Finding::line(&file.path, line, "this test is ignored: repair it or delete it"))
            }
            "allow" => findings.push(Finding::line(
                &file.path,
                line,
                "a lint is disabled: use `expect` with a reason, which warns when it is no longer needed",
            )),
            "cfg_attr" => {
                let groups = inside.clone().into_iter().filter_map(|token| match token {
                    TokenTree::Group(group) => Some(group.stream()),
                    _ => None,
                });
                groups.for_each(|stream| attribute(file, line, &stream, findings));
            }
            _ => {}
        }
    }
}

/// Whether these tokens end with `#[…test] … fn name()`.
fn is_test(before: &[TokenTree]) -> bool {
    let Some(item) =
        before.iter().rposition(|token| matches!(token, TokenTree::Ident(word) if *word == "fn"))
    else {
        return false;
    };
    // Between the word `fn` and a body there are a name and arguments, and no other body.
    let attributes = before[..item].iter().rev().take_while(|token| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Bracket,
        TokenTree::Punct(punct) => punct.as_char() == '#',
        TokenTree::Ident(_) => true,
        TokenTree::Literal(_) => false,
    });
    let mut attributes = attributes.filter_map(|token| match token {
        TokenTree::Group(group) => Some(group.stream().to_string()),
        _ => None,
    });
    attributes.any(|text| text == "test" || text.ends_with(":: test") || text.starts_with("tokio :: test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let findings = check(&[File { path: "a.rs".into(), text: text.into() }]);
        findings.into_iter().map(|finding| finding.place).collect()
    }

    #[test]
    fn switched_off_tests_and_lints_are_found_with_their_lines() {
        assert_eq!(found("#[test]\n#[ignore]\nfn a() { b(); }"), ["a.rs:2"]);
        assert_eq!(found("#[ignore = \"slow\"]\nfn a() { b(); }"), ["a.rs:1"]);
        assert_eq!(found("#![allow(dead_code)]"), ["a.rs:1"]);
        assert_eq!(found("mod a {\n #[allow(unused)] fn b() {}\n}"), ["a.rs:2"]);
        assert_eq!(found("#[cfg_attr(test, allow(unused))] fn b() {}"), ["a.rs:1"]);
    }

    #[test]
    fn assertions_that_cannot_fail_are_found() {
        assert_eq!(found("fn a() {\n assert!(true);\n}"), ["a.rs:2"]);
        assert_eq!(found("fn a() { assert!(true, \"why\"); }"), ["a.rs:1"]);
        assert_eq!(found("fn a() { assert!(truly()); }"), [""; 0]);
    }

    #[test]
    fn empty_tests_are_found() {
        assert_eq!(found("#[test]\nfn a() {}"), ["a.rs:2"]);
        assert_eq!(found("#[tokio::test]\nasync fn a() {\n // later\n}"), ["a.rs:2"]);
        assert_eq!(found("#[test]\nfn a() { b(); }\nfn c() {}"), [""; 0]);
        assert_eq!(found("#[cfg(test)]\nmod tests {}\n"), [""; 0]);
    }

    #[test]
    fn comments_and_texts_may_say_it() {
        let text = "//! Neither #[ignore] nor #[allow(x)].\nconst A: &str = \"#[allow(b)] assert!(true)\";\n";
        assert_eq!(found(text), [""; 0]);
        assert_eq!(found("fn a() { b(vec![ignore, allow]); }"), [""; 0]);
        assert_eq!(found("#[expect(unused, reason = \"allow me\")]\nfn a() {}"), [""; 0]);
    }

    #[test]
    fn invalid_rust_is_reported() {
        assert_eq!(found("fn a( {"), ["a.rs"]);
    }
}
