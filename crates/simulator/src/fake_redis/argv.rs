//! A command's arguments in one reusable buffer.

use std::ops::{Index, Range};

/// A command and its arguments.
#[derive(Debug, Default)]
pub struct Argv {
    bytes: Vec<u8>,
    words: Vec<Range<usize>>,
}

impl Argv {
    /// The command and arguments in `words`.
    #[must_use]
    pub fn of<W: AsRef<[u8]>>(words: &[W]) -> Self {
        let mut argv = Self::default();
        for word in words {
            argv.push(word.as_ref());
        }
        argv
    }

    /// Removes all words and keeps the capacity.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.words.clear();
    }

    /// Adds a word.
    pub fn push(&mut self, word: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(word);
        self.words.push(start..self.bytes.len());
    }

    /// How many words, including the command's name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Whether it is empty, without even a command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The words from `start` on.
    pub fn words_from(&self, start: usize) -> impl ExactSizeIterator<Item = &[u8]> + Clone {
        self.words.get(start..).unwrap_or_default().iter().map(|range| &self.bytes[range.clone()])
    }

    /// The words from `start` on, in pairs; an unpaired last one is left out.
    pub fn pairs_from(&self, start: usize) -> impl Iterator<Item = (&[u8], &[u8])> {
        let (pairs, _) = self.words.get(start..).unwrap_or_default().as_chunks::<2>();
        pairs.iter().map(|[a, b]| (&self.bytes[a.clone()], &self.bytes[b.clone()]))
    }

    /// Whether the word is this option, ignoring case.
    pub(crate) fn is(&self, at: usize, option: &str) -> bool {
        self[at].eq_ignore_ascii_case(option.as_bytes())
    }
}

impl Index<usize> for Argv {
    type Output = [u8];

    /// A word by its index; the empty word beyond the end.
    fn index(&self, at: usize) -> &[u8] {
        self.words.get(at).map_or(&[], |range| &self.bytes[range.clone()])
    }
}
