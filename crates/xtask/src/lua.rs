//! Scripts as servers run them: each with its shared parts prepended, checked by luacheck.

mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::shell::say;
use crate::workspace;

pub(crate) use source::{Script, code, scripts};

/// A warning of luacheck about a line in one of our files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Remark {
    path: String,
    line: usize,
    text: String,
}

/// Writes every assembled script to `target/lua` and runs luacheck on them.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    let folder = workspace::target()?.join("lua");
    let files = workspace::files(&root)?;
    let scripts = scripts(&files)?;
    ensure!(!scripts.is_empty(), "no scripts in lua/");
    // Scripts of an earlier run that no longer exist must not be checked.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    for script in &scripts {
        let path = folder.join(format!("{}.lua", script.name));
        std::fs::write(&path, script.checkable()).with_context(|| format!("writing {}", path.display()))?;
    }
    let printed = luacheck(&root, &folder)?;
    let remarks = judge(&scripts, &printed);
    for Remark { path, line, text } in &remarks {
        say(&format!("{path}:{line}: {text}"));
    }
    ensure!(remarks.is_empty(), "{} warnings of luacheck", remarks.len());
    say(&format!("lua: {} scripts, no warnings", scripts.len()));
    Ok(())
}

fn luacheck(root: &Path, folder: &Path) -> Result<String> {
    let mut command = Command::new("luacheck");
    command.args(["--formatter", "plain", "--codes", "--config"]).arg(root.join(".luacheckrc")).arg(folder);
    let output = command.current_dir(root).output();
    let output = output.context("luacheck is missing: apt-get install lua-check   (or: make setup)")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    // 0: no warnings, 1: warnings, 2: errors in a script; above 2: luacheck itself failed.
    let worked = matches!(output.status.code(), Some(0..=2));
    ensure!(worked, "luacheck failed:\n{printed}{}", String::from_utf8_lossy(&output.stderr));
    Ok(printed)
}

/// Maps luacheck's lines to remarks about our files. A shared part may define what one script does not
/// use; what no script uses is reported once.
fn judge(scripts: &[Script], printed: &str) -> BTreeSet<Remark> {
    let mut users: BTreeMap<&str, usize> = BTreeMap::new();
    for part in scripts.iter().flat_map(|script| &script.parts) {
        *users.entry(part.path.as_str()).or_default() += 1;
    }
    let mut unused: BTreeMap<Remark, usize> = BTreeMap::new();
    let mut remarks = BTreeSet::new();
    for line in printed.lines() {
        let Some((remark, is_part)) = locate(scripts, line) else { continue };
        if is_part && remark.text.starts_with("(W211)") {
            *unused.entry(remark).or_default() += 1;
        } else {
            remarks.insert(remark);
        }
    }
    let by_nobody = |(remark, count): &(Remark, usize)| users.get(remark.path.as_str()) == Some(count);
    remarks.extend(unused.into_iter().filter(by_nobody).map(|(remark, _)| remark));
    remarks
}

/// Parses `…/name.lua:line:column: (code) text`, and finds the source file and line.
fn locate(scripts: &[Script], printed: &str) -> Option<(Remark, bool)> {
    let (place, text) = printed.split_once(": ")?;
    let mut place = place.rsplitn(3, ':');
    let (_column, line, path) = (place.next()?, place.next()?.parse().ok()?, place.next()?);
    let name = Path::new(path).file_stem()?.to_str()?;
    let script = scripts.iter().find(|script| script.name == name)?;
    let (path, line) = script.origin(line);
    let is_part = path != script.path;
    Some((Remark { path: path.to_owned(), line, text: text.to_owned() }, is_part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::File;

    fn two_scripts() -> Vec<Script> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let files = [
            file("lua/a.lua", "#!lua\n-- a: one.\n-- uses: p\nreturn f()\n"),
            file("lua/b.lua", "#!lua\n-- b: two.\n-- uses: p\nreturn x\n"),
            file("lua/lib/p.lua", "-- Part.\nlocal function f() end\nlocal function g() end\n"),
        ];
        scripts(&files).expect("scripts")
    }

    fn judged(printed: &[&str]) -> Vec<(String, usize)> {
        let remarks = judge(&two_scripts(), &printed.join("\n"));
        remarks.into_iter().map(|remark| (remark.path, remark.line)).collect()
    }

    #[test]
    fn remarks_name_their_source_files() {
        let found = judged(&["/t/b.lua:7:8: (W113) accessing undefined variable 'x'"]);
        assert_eq!(found, [("lua/b.lua".into(), 4)]);
        let found =
            judged(&["/t/a.lua:2:1: (W631) line is too long", "/t/b.lua:2:1: (W631) line is too long"]);
        assert_eq!(found, [("lua/lib/p.lua".into(), 1)]);
    }

    #[test]
    fn a_shared_function_must_be_used() {
        let f_in_b = "/t/b.lua:3:16: (W211) unused function 'f'";
        let (g_in_a, g_in_b) =
            ("/t/a.lua:4:16: (W211) unused function 'g'", "/t/b.lua:4:16: (W211) unused function 'g'");
        assert_eq!(judged(&[f_in_b]), []);
        assert_eq!(judged(&[f_in_b, g_in_a, g_in_b]), [("lua/lib/p.lua".into(), 3)]);
        assert_eq!(judged(&["/t/a.lua:7:1: (W211) unused variable 'y'"]), [("lua/a.lua".into(), 4)]);
    }

    #[test]
    fn lines_of_another_form_are_no_remarks() {
        assert_eq!(judged(&["", "Total: 0 warnings"]), []);
    }
}
