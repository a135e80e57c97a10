//! Pages of the documentation that are made from the code: `pages` writes them, `tidy` compares them.

mod events;
mod metrics;

use std::path::Path;

use anyhow::{Context, Result};

use crate::shell::say;
use crate::workspace;

/// A page.
pub(crate) struct Page {
    /// Its path below the root.
    pub(crate) path: &'static str,
    /// Makes its text.
    pub(crate) text: fn() -> String,
}

/// All pages.
pub(crate) const PAGES: &[Page] = &[
    Page { path: "docs/events.md", text: events::text },
    Page { path: "docs/metrics.md", text: metrics::text },
];

/// Writes all pages.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root()?;
    for page in PAGES {
        write(&root, page).with_context(|| format!("writing {}", page.path))?;
        say(page.path);
    }
    Ok(())
}

fn write(root: &Path, page: &Page) -> Result<()> {
    Ok(std::fs::write(root.join(page.path), (page.text)())?)
}
