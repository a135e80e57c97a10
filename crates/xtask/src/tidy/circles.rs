//! No big circles: files of a crate that use each other can only be understood, moved and changed together.
//!
//! A file uses another one if a path in it leads there; a path through a re-export leads to where the item is
//! defined. That a module uses its own submodules does not count, because it is made of them; tests do not count
//! either.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenStream;

use super::Finding;
use crate::workspace::File;

mod paths;

use paths::Paths;

/// Files a circle may have.
const MOST: usize = 3;

/// Bigger circles that are still there: one file of each, and how many files it has. They may only shrink.
const KNOWN: &[(&str, usize)] = &[("crates/simulator/src/lua/engine.rs", 5)];

/// Re-exports that are followed one after the other.
const DEPTH: usize = 8;

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    find(files, KNOWN)
}

fn find(files: &[File], known: &[(&str, usize)]) -> Vec<Finding> {
    let mut crates: BTreeMap<&str, Crate<'_>> = BTreeMap::new();
    for file in files.iter().filter(|file| file.is("rs")) {
        // What is not valid Rust is reported by another rule.
        let (Some((root, path)), Ok(tokens)) = (file.path.split_once("/src/"), file.text.parse()) else {
            continue;
        };
        crates.entry(root).or_default().add(&file.path, path, tokens);
    }
    let circles: Vec<Vec<&str>> = crates.values().flat_map(Crate::circles).collect();
    let mut findings = Vec::new();
    for circle in circles.iter().filter(|circle| circle.len() > MOST) {
        let most = known.iter().find(|(file, _)| circle.contains(file)).map_or(MOST, |(_, files)| *files);
        if circle.len() > most {
            let text = format!(
                "is in a circle of {} files, at most {most} are allowed: {}. Move what they share into a file that uses \
                 none of them, or let only one side use the other",
                circle.len(),
                circle.join(" ")
            );
            findings.push(Finding::new(circle[0], text));
        }
    }
    for (file, most) in known {
        let now = circles.iter().find(|circle| circle.contains(file)).map_or(1, Vec::len);
        if now < *most {
            let text = match now > MOST {
                true => format!("its circle has only {now} files now: lower the number in tidy/circles.rs"),
                false => {
                    "its circle is small enough now: remove it from the list in tidy/circles.rs".to_owned()
                }
            };
            findings.push(Finding::new(*file, text));
        }
    }
    findings
}

/// A module as its path below the root of the crate.
type Module = Vec<String>;

/// The files of one crate.
#[derive(Default)]
struct Crate<'a> {
    files: BTreeMap<Module, (&'a str, Paths)>,
}

impl<'a> Crate<'a> {
    /// Adds the file at `path`, which is `below` the source folder.
    fn add(&mut self, path: &'a str, below: &str, tokens: TokenStream) {
        let mut module: Module = below.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
        if module.last().is_some_and(|last| last.ends_with("tests")) {
            return;
        }
        if module.last().is_some_and(|last| ["lib", "main", "mod"].contains(&last.as_str())) {
            module.pop();
        }
        self.files.entry(module).or_insert_with(|| (path, Paths::of(tokens)));
    }

    /// The files that use each other, in one or more steps; a file alone is no circle.
    fn circles(&self) -> Vec<Vec<&'a str>> {
        let reached: BTreeMap<&Module, BTreeSet<&Module>> =
            self.files.keys().map(|module| (module, self.reached(module))).collect();
        let mut circles = Vec::new();
        let mut done = BTreeSet::new();
        for (module, there) in &reached {
            let back = |other: &&&Module| reached.get(*other).is_some_and(|back| back.contains(module));
            let circle: BTreeSet<&Module> = there.iter().filter(back).copied().collect();
            if circle.len() > 1 && done.insert(circle.clone()) {
                let mut files: Vec<&str> =
                    circle.iter().filter_map(|one| self.files.get(*one)).map(|(path, _)| *path).collect();
                files.sort_unstable();
                circles.push(files);
            }
        }
        circles
    }

    /// All modules that a module uses, in one or more steps.
    fn reached(&self, from: &Module) -> BTreeSet<&Module> {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&Module> = self.used(from);
        while let Some(module) = next.pop() {
            if reached.insert(module) {
                next.extend(self.used(module));
            }
        }
        reached
    }

    /// The modules that a module uses, except its own submodules.
    fn used(&self, from: &Module) -> Vec<&Module> {
        let Some((_, paths)) = self.files.get(from) else { return Vec::new() };
        let leads = paths.all().filter_map(|path| self.resolve(from, path, DEPTH));
        leads.filter(|to| !to.starts_with(from)).collect()
    }

    /// The module with the item to which a path in `from` leads; `None` when it leads out of the crate.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<&Module> {
        let (mut at, mut rest): (Module, &[String]) = (from.to_vec(), path);
        match path.first()?.as_str() {
            "crate" => (at, rest) = (Vec::new(), &path[1..]),
            "self" | "super" => {
                while let Some((word, after)) = rest.split_first()
                    && ["self", "super"].contains(&word.as_str())
                {
                    if word == "super" {
                        at.pop()?;
                    }
                    rest = after;
                }
            }
            first => {
                at.push(first.to_owned());
                self.files.get(&at)?;
                rest = &path[1..];
            }
        }
        while let Some((word, after)) = rest.split_first() {
            at.push(word.clone());
            if !self.files.contains_key(&at) {
                at.pop();
                break;
            }
            rest = after;
        }
        let (module, (_, paths)) = self.files.get_key_value(&at)?;
        // The item may come from elsewhere.
        let import = rest.first().filter(|_| depth > 0 && at != from).and_then(|name| paths.import(name));
        let elsewhere = import.and_then(|import| {
            let onwards: Vec<String> = import.iter().chain(&rest[1..]).cloned().collect();
            self.resolve(&at, &onwards, depth - 1)
        });
        Some(elsewhere.unwrap_or(module))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)], known: &[(&str, usize)]) -> Vec<String> {
        let file = |(path, text): &(&str, &str)| File {
            path: format!("crates/a/src/{path}.rs"),
            text: (*text).to_owned(),
        };
        let files: Vec<File> = files.iter().map(file).collect();
        find(&files, known)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.place, finding.text))
            .collect()
    }

    const RING: [(&str, &str); 4] = [
        ("a", "use crate::b::B;"),
        ("b", "use super::{c::{self, C}, d::D as E};"),
        ("c", "fn c() { crate::d::d() }"),
        ("d", "use crate::a::A;"),
    ];

    #[test]
    fn a_circle_of_four_files_is_found_once_and_one_of_three_passes() {
        let all = found(&RING, &[]);
        assert_eq!(all.len(), 1);
        assert!(all[0].starts_with("crates/a/src/a.rs: is in a circle of 4 files, at most 3 are"), "{all:?}");
        assert!(all[0].contains("crates/a/src/b.rs crates/a/src/c.rs crates/a/src/d.rs"), "{all:?}");
        let three = [("a", "use crate::b::B;"), ("b", "use crate::c::C;"), ("c", "use crate::a::A;")];
        assert_eq!(found(&three, &[]), [""; 0]);
        let chain = [RING[0], RING[1], RING[2], ("d", "use std::a::A;")];
        assert_eq!(found(&chain, &[]), [""; 0]);
    }

    #[test]
    fn a_known_circle_may_only_shrink() {
        assert_eq!(found(&RING, &[("crates/a/src/c.rs", 4)]), [""; 0]);
        assert!(found(&RING, &[("crates/a/src/c.rs", 5)])[0].contains("only 4 files now: lower the number"));
        let gone = found(&[RING[0], RING[1]], &[("crates/a/src/b.rs", 4)]);
        assert!(gone.len() == 1 && gone[0].contains("remove it from the list"), "{gone:?}");
        let bigger =
            [RING[0], RING[1], RING[2], ("d", "use crate::{a::A, e::E};"), ("e", "use crate::a::A;")];
        let grown = found(&bigger, &[("crates/a/src/c.rs", 4)]);
        assert!(grown.len() == 1 && grown[0].contains("5 files, at most 4 are allowed"), "{grown:?}");
    }

    #[test]
    fn a_path_through_a_re_export_leads_to_the_definition() {
        let through = |user: &'static str| {
            let front = ("b/mod", "mod x; mod y; pub use x::X; pub use y::*;");
            found(
                &[
                    ("lib", "pub use b::X as Z;"),
                    front,
                    ("b/x", user),
                    ("b/y", ""),
                    RING[2],
                    RING[3],
                    ("a", "use crate::b::X;"),
                ],
                &[],
            )
        };
        assert_eq!(through("").len(), 0);
        assert_eq!(through("use crate::c::C;").len(), 1, "a uses x, x uses c, c uses d, d uses a");
    }

    #[test]
    fn a_module_and_its_parts_are_no_circle() {
        let parts = ["mod b; mod c; mod d; use b::B; use c::C; use d::D; struct A;", "use super::A;"];
        let files = [
            ("a/mod", parts[0]),
            ("a/b", parts[1]),
            ("a/c", "use crate::a::A;"),
            ("a/d", "use super::super::a::A;"),
        ];
        assert_eq!(found(&files, &[]), [""; 0]);
    }

    #[test]
    fn tests_comments_and_texts_do_not_count() {
        let last = |text: &'static str| found(&[RING[0], RING[1], RING[2], ("d", text)], &[]).len();
        assert_eq!(last("#[cfg(test)]\nmod tests { use crate::a::A; }"), 0);
        assert_eq!(last("//! See [`crate::a`].\nconst X: &str = \"crate::a::A\";"), 0);
        assert_eq!(last("fn d() -> Vec<crate::a::A> { x(|| super::a::b) }"), 1);
        assert_eq!(found(&[RING[0], RING[1], RING[2], ("d_tests", "use crate::a::A;")], &[]), [""; 0]);
    }
}
