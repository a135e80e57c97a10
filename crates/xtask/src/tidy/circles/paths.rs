//! The paths in a file: those it imports, and those in its code.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// A path, word by word.
type Path = Vec<String>;

/// All paths of a file.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// By the name under which an item is imported.
    imports: BTreeMap<String, Path>,
    others: Vec<Path>,
}

impl Paths {
    /// Reads a file; its module `tests` is left out.
    pub(super) fn of(tokens: TokenStream) -> Self {
        let mut paths = Self::default();
        paths.read(tokens);
        paths
    }

    /// All paths, in no particular order.
    pub(super) fn all(&self) -> impl Iterator<Item = &Path> {
        self.imports.values().chain(&self.others)
    }

    /// The path of an imported item.
    pub(super) fn import(&self, name: &str) -> Option<&Path> {
        self.imports.get(name)
    }

    fn read(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = &tokens[..];
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            match token {
                TokenTree::Ident(word) if *word == "use" => {
                    let end = rest.iter().position(|token| is(token, ';')).unwrap_or(rest.len());
                    self.import_tree(&rest[..end], &[]);
                    rest = &rest[end..];
                }
                TokenTree::Ident(word) if *word == "mod" => {
                    if matches!(rest.first(), Some(TokenTree::Ident(name)) if *name == "tests") {
                        rest = rest.get(2..).unwrap_or_default();
                    }
                }
                TokenTree::Ident(word) => {
                    let mut path = vec![word.to_string()];
                    while let [colon, second, TokenTree::Ident(word), after @ ..] = rest
                        && is(colon, ':')
                        && is(second, ':')
                    {
                        path.push(word.to_string());
                        rest = after;
                    }
                    if path.len() > 1 {
                        self.others.push(path);
                    }
                }
                TokenTree::Group(group) => self.read(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Reads what follows `use`, below a path.
    fn import_tree(&mut self, tokens: &[TokenTree], below: &[String]) {
        let mut path = below.to_vec();
        let mut name = None;
        for (i, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                    let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                    inside.split(|token| is(token, ',')).for_each(|part| self.import_tree(part, &path));
                    return;
                }
                TokenTree::Ident(word) if *word == "as" => {
                    name = tokens.get(i + 1).map(ToString::to_string);
                    break;
                }
                // `a::{self}` is `a`.
                TokenTree::Ident(word) if *word == "self" && !path.is_empty() => {}
                TokenTree::Ident(word) => path.push(word.to_string()),
                _ => {}
            }
        }
        if tokens.is_empty() || path.is_empty() {
            return;
        }
        let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
        if tokens.last().is_some_and(|token| is(token, '*')) || self.imports.contains_key(&name) {
            self.others.push(path);
        } else {
            self.imports.insert(name, path);
        }
    }
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<String> {
        let paths = Paths::of(text.parse().expect("tokens"));
        let mut all: Vec<String> = paths.all().map(|path| path.join("::")).collect();
        all.sort();
        all
    }

    #[test]
    fn trees_of_imports_are_read() {
        assert_eq!(
            read("pub(crate) use a::{self, b::{C, d as E}, f::*};"),
            ["a", "a::b::C", "a::b::d", "a::f"]
        );
        let paths = Paths::of("use a::b as c; use d::E;".parse().expect("tokens"));
        assert_eq!(paths.import("c").map(|path| path.join("::")).as_deref(), Some("a::b"));
        assert!(paths.import("b").is_none() && paths.import("E").is_some());
    }

    #[test]
    fn paths_in_code_are_read() {
        assert_eq!(read("fn a(b: c::D<e::F>) { g!(h::i(j), [k::l]) }"), ["c::D", "e::F", "h::i", "k::l"]);
        assert_eq!(read("mod a { use b::C; } mod tests { use d::E; }"), ["b::C"]);
    }
}
