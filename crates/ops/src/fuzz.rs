//! The settings parser as a function of bytes: for cargo-fuzz (`fuzz/`), and for the tests that replay its corpus.

pub use crate::config::fuzz::settings;

#[cfg(test)]
mod tests {
    use posthaste_rig::corpus::replay;

    #[test]
    fn kept_inputs_are_taken() {
        replay("settings", super::settings);
    }

    /// Twice the depth the TOML parser accepts, and more than any stack can hold.
    #[test]
    fn nested_settings_do_no_harm() {
        for levels in [2 * 80, 20_000] {
            let (arrays, tables) = (["[", "]"], ["{a=", "}"]);
            for [open, close] in [arrays, tables] {
                for key in ["a", "admin.listen", "log"] {
                    let deep = format!("{key} = {}1{}", open.repeat(levels), close.repeat(levels));
                    super::settings(deep.as_bytes());
                    super::settings(format!("{key} = {}", open.repeat(levels)).as_bytes());
                }
            }
            super::settings(format!("{}a = 1", "a.".repeat(levels)).as_bytes());
            super::settings(format!("[{}a]", "a.".repeat(levels)).as_bytes());
        }
    }
}
