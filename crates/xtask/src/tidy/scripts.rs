//! Rules for scripts: a first line with flags, a header, no library that differs between servers, the time
//! read once. A test of the protocol crate compares the header with its codec.

use super::Finding;
use crate::lua::{Script, code, scripts};
use crate::workspace::File;

const FLAGS: &[&str] = &["no-writes", "allow-oom", "allow-stale"];

/// Words that must not occur in code, and the reason.
const BANNED: &[(&str, &str)] = &[
    ("cjson", "turns empty lists into objects and large numbers into floats"),
    ("cmsgpack", "records are packed by hand, the same way in Rust and Lua"),
    ("struct", "records are packed by hand, the same way in Rust and Lua"),
    ("bit", "records are packed by hand, the same way in Rust and Lua"),
    ("pcall", "an error must stop the script; all checks come before the first write"),
    ("xpcall", "an error must stop the script; all checks come before the first write"),
    ("loadstring", "scripts must not build code"),
    ("setfenv", "scripts must not build code"),
    ("random", "a script must do the same for the same arguments"),
];

/// Commands whose error a script may handle, because they change nothing.
const READS: &[&str] = &["GET", "HGET", "HGETALL", "HMGET"];
const PCALL: &str = "redis.pcall";

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is("lua")) {
        if file.path.starts_with("lua/lib/") {
            part(file, &mut findings);
        }
        words(file, &mut findings);
    }
    match scripts(files) {
        Ok(scripts) => scripts.iter().for_each(|script| header(script, &mut findings)),
        Err(error) => findings.push(Finding::new("lua", format!("{error:#}"))),
    }
    findings
}

fn part(file: &File, findings: &mut Vec<Finding>) {
    if !file.text.starts_with("-- ") {
        findings.push(Finding::line(
            &file.path,
            1,
            "a shared part begins with a comment that says what it contains",
        ));
    }
    if file.text.contains("-- uses:") {
        findings
            .push(Finding::new(&file.path, "a shared part names no other parts; name them in the script"));
    }
}

fn words(file: &File, findings: &mut Vec<Finding>) {
    for (number, (line, full)) in code(&file.text).lines().zip(file.text.lines()).enumerate() {
        // A refused write must stop the script; reading a record of a wrong type need not.
        let calls = full.match_indices(PCALL).map(|(at, _)| &full[at + PCALL.len()..]);
        let writes = calls.filter(|call| {
            line.contains(PCALL) && !READS.iter().any(|read| call.starts_with(&format!("('{read}'")))
        });
        for _ in writes {
            findings.push(Finding::line(
                &file.path,
                number + 1,
                "`redis.pcall` is allowed for these reads only: ".to_owned() + &READS.join(", "),
            ));
        }
        let line = line.replace(PCALL, "");
        for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if let Some((_, why)) = BANNED.iter().find(|(banned, _)| *banned == word) {
                findings.push(Finding::line(&file.path, number + 1, format!("`{word}`: {why}")));
            }
        }
    }
}

fn header(script: &Script, findings: &mut Vec<Finding>) {
    let mut say = |line: usize, text: String| findings.push(Finding::line(&script.path, line, text));
    let lines: Vec<&str> = script.text.lines().collect();
    match lines.first().and_then(|line| line.strip_prefix("#!lua")) {
        Some("") => {}
        Some(rest) => match rest.strip_prefix(" flags=") {
            Some(flags) => {
                for flag in flags.split(',').filter(|flag| !FLAGS.contains(flag)) {
                    say(1, format!("`{flag}` is not one of the flags {FLAGS:?}"));
                }
            }
            None => say(1, "the first line must be `#!lua` or `#!lua flags=a,b`".into()),
        },
        None => say(1, "the first line must be `#!lua` or `#!lua flags=a,b`".into()),
    }
    let title = format!("-- {}: ", script.name);
    if !lines.get(1).is_some_and(|line| line.starts_with(&title)) {
        say(2, format!("the second line must be `{title}…` and say what the script does"));
    }
    let header: Vec<&str> = lines.iter().skip(1).take_while(|line| line.starts_with("--")).copied().collect();
    for field in ["-- KEYS ", "-- ARGV ", "-- REPLY ", "-- BOUND "] {
        if !header.iter().any(|line| line.starts_with(field)) {
            say(2, format!("the header has no line `{field}…`"));
        }
    }
    if header.last().is_none_or(|line| !line.starts_with("-- uses:")) {
        say(
            header.len() + 1,
            "the header must end with the line `-- uses: …`, empty if nothing is used".into(),
        );
    }
    let times = script.assembled().matches("'TIME'").count();
    if times > 1 {
        say(1, format!("the time is read {times} times, including the parts: read it once"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "#!lua flags=allow-oom\n-- a: does it.\n--\n-- KEYS 1 k\n-- ARGV 1 x\n-- REPLY ok done\n\
        -- BOUND no loop\n-- uses: p\nreturn redis.call('GET', KEYS[1])\n";

    fn found(script: &str, part: &str) -> Vec<String> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let findings = check(&[file("lua/a.lua", script), file("lua/lib/p.lua", part)]);
        findings.into_iter().map(|finding| finding.text).collect()
    }

    fn one(script: &str, part: &str, expected: &str) {
        let found = found(script, part);
        assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    }

    #[test]
    fn a_good_script_passes() {
        assert_eq!(found(GOOD, "-- Part.\nlocal clock = redis.call('TIME')\n"), [""; 0]);
    }

    #[test]
    fn a_wrong_first_line_is_found() {
        one(&GOOD.replace(" flags=allow-oom", " allow-oom"), "-- P.\n", "first line");
        one(&GOOD.replace("allow-oom", "allow-oom,fast"), "-- P.\n", "`fast`");
        one(&GOOD.replace("#!lua flags=allow-oom", "-- lua"), "-- P.\n", "first line");
    }

    #[test]
    fn a_header_with_gaps_is_found() {
        one(&GOOD.replace("-- a:", "-- b:"), "-- P.\n", "`-- a: …`");
        one(&GOOD.replace("-- REPLY ok done\n", ""), "-- P.\n", "REPLY");
        one(&GOOD.replace("-- BOUND", "-- bound"), "-- P.\n", "BOUND");
        one(&GOOD.replace("-- uses: p\n", ""), "-- P.\n", "uses");
        one(&GOOD.replace("uses: p", "uses: q"), "-- P.\n", "no lua/lib/q.lua");
    }

    #[test]
    fn banned_words_are_found_in_code_only() {
        one(&GOOD.replace("redis.call(", "pcall("), "-- P.\n", "`pcall`");
        one(GOOD, "-- P.\nlocal t = cjson.decode(x)\n", "`cjson`");
        assert_eq!(found(GOOD, "-- No cjson, no bit.\nlocal s, orbit = 'struct', 1\n"), [""; 0]);
    }

    #[test]
    fn only_reads_may_fail_quietly() {
        assert_eq!(found(&GOOD.replace("redis.call('GET'", "redis.pcall('GET'"), "-- P.\n"), [""; 0]);
        one(&GOOD.replace("redis.call('GET'", "redis.pcall('DEL'"), "-- P.\n", "reads only");
        one(&GOOD.replace("redis.call('GET'", "redis.pcall(command"), "-- P.\n", "reads only");
    }

    #[test]
    fn reading_the_time_twice_is_found() {
        let twice = GOOD.replace("return redis", "local t = redis.call('TIME')\nreturn redis");
        one(&twice, "-- P.\nlocal clock = redis.call('TIME')\n", "read 2 times");
        assert_eq!(found(&twice, "-- P.\n"), [""; 0]);
    }

    #[test]
    fn parts_have_a_comment_and_name_no_parts() {
        one(GOOD, "local x = 1\n", "begins with a comment");
        one(GOOD, "-- P.\n-- uses: q\n", "names no other parts");
    }
}
