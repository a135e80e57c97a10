//! Mutants: the scripts with one guard removed. Each must be detected by an exploration, or state why it is not.

mod list;

use posthaste_protocol::{ScriptText, scripts};

use super::report::{ExplorationLimits, ExplorationReport, explore};
use super::scenario::Scenario;
use crate::{ScriptError, Scripts};

pub use list::MUTANTS;

/// A removed guard.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// What is missing.
    pub name: &'static str,
    /// The file: a script's verb, or `lib/` and a shared part.
    pub file: &'static str,
    /// The original text, which must occur exactly once.
    pub text: &'static str,
    /// The text in its place.
    pub instead: &'static str,
    /// The system in which it is hunted.
    pub hunted_in: fn() -> Scenario,
    /// Why it may survive: another guard protects the same.
    pub survives: Option<&'static str>,
}

/// Why a mutant cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum MutantError {
    /// The text does not occur, or more than once: the script changed, and the mutant must be adapted.
    #[error("{name}: its text occurs {times} times in lua/{file}.lua, expected once")]
    Gone {
        /// Which mutant.
        name: &'static str,
        /// In which file.
        file: &'static str,
        /// How often the text occurs.
        times: usize,
    },
    /// The result is not a valid script.
    #[error(transparent)]
    Script(#[from] ScriptError),
}

/// How a hunt ended.
#[derive(Clone, Debug)]
pub enum Hunt {
    /// A property was violated.
    Killed(ExplorationReport),
    /// No property was violated in any reachable state.
    Survived(ExplorationReport),
}

impl Mutant {
    /// Explores the mutant's system until the mutant is detected.
    ///
    /// # Errors
    /// When the mutant cannot be built.
    pub fn hunt(&self) -> Result<Hunt, MutantError> {
        let report = explore((self.hunted_in)(), self.scripts()?, ExplorationLimits::NONE);
        Ok(if report.failure.is_some() { Hunt::Killed(report) } else { Hunt::Survived(report) })
    }

    /// The scripts with this guard removed.
    ///
    /// # Errors
    /// When the text to be replaced does not occur exactly once.
    pub fn scripts(&self) -> Result<Scripts, MutantError> {
        let replaced = |source: &str| {
            let times = source.matches(self.text).count();
            let gone = MutantError::Gone { name: self.name, file: self.file, times };
            if times == 1 { Ok(source.replace(self.text, self.instead)) } else { Err(gone) }
        };
        let mut all = Scripts::load()?;
        let part = self.file.strip_prefix("lib/");
        let mut parts: Vec<(&str, String)> =
            scripts::PARTS.iter().map(|(name, text)| (*name, (*text).to_owned())).collect();
        let mut found = false;
        if let Some((_, text)) = parts.iter_mut().find(|(name, _)| Some(*name) == part) {
            *text = replaced(text)?;
            found = true;
        }
        let parts: Vec<(&str, &str)> = parts.iter().map(|(name, text)| (*name, text.as_str())).collect();
        for contract in scripts::ALL {
            let name = contract.text.name;
            let mut source = contract.source.to_owned();
            if name == self.file {
                source = replaced(&source)?;
                found = true;
            }
            let text = ScriptText::assemble(name, &source, &parts);
            if text.body != contract.text.body {
                all = all.with_text(name, &text.body)?;
            }
        }
        if found { Ok(all) } else { Err(MutantError::Gone { name: self.name, file: self.file, times: 0 }) }
    }
}
