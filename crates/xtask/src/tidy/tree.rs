//! Packages that must not be in our dependency tree: two TLS back ends at once panic at first use.

use super::Finding;

const BANNED: &[(&str, &str)] = &[
    ("aws-lc-rs", "ring is our only TLS back end; disable the feature that pulls this in"),
    ("aws-lc-sys", "ring is our only TLS back end; disable the feature that pulls this in"),
    ("openssl-sys", "rustls is our only TLS"),
    ("native-tls", "rustls is our only TLS"),
];

/// Parses the output of `cargo tree --prefix none --format {p}`: lines `name vX.Y.Z …`.
pub(super) fn check(tree: &str) -> Vec<Finding> {
    let present = |name: &str| tree.lines().any(|line| line.split(' ').next() == Some(name));
    let found = BANNED.iter().filter(|(name, _)| present(name));
    found.map(|(name, why)| Finding::new("Cargo.lock", format!("{name} is in the tree: {why}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_tls_is_found() {
        let found = check("rustls v0.23.46\naws-lc-rs v1.16.0\nring v0.17.14 (*)\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].text.contains("aws-lc-rs"));
    }

    #[test]
    fn names_that_only_look_like_it_pass() {
        assert_eq!(check("openssl-probe v0.2.2\nnative-tls-like v1.0.0\n"), []);
    }
}
