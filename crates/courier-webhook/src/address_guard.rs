//! Which IP addresses may be called. Recipients choose their URLs, so a URL may name the computer this runs on, its network,
//! or the service of a cloud that gives out credentials (server-side request forgery).
//!
//! Only what the registries of special addresses leave as public is public (RFC 6890 and its successors). An IPv6 address
//! that stands for an IPv4 address is refused whatever it stands for: nothing needs it, and its route is not that of either.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressKind {
    /// On the public internet.
    Public,
    /// This computer.
    Loopback,
    /// Of a private network: RFC 1918, unique local (RFC 4193), shared by the customers of a provider (RFC 6598).
    Private,
    /// Of this link alone, such as 169.254.169.254, where clouds give out credentials.
    LinkLocal,
    /// Unspecified, multicast, broadcast, documentation, benchmarks, not assigned.
    Reserved,
    /// An IPv4 address within an IPv6 address: mapped, compatible, NAT64, 6to4, Teredo.
    Translated,
}

/// What this address is.
#[must_use]
pub fn kind(address: IpAddr) -> AddressKind {
    match address {
        IpAddr::V4(address) => kind_v4(address),
        IpAddr::V6(address) => kind_v6(address),
    }
}

fn kind_v4(address: Ipv4Addr) -> AddressKind {
    match address.octets() {
        [127, ..] => AddressKind::Loopback,
        [10, ..] | [172, 16..=31, ..] | [192, 168, ..] | [100, 64..=127, ..] => AddressKind::Private,
        [169, 254, ..] => AddressKind::LinkLocal,
        // This network; protocols, documentation, the former 6to4 relays, AS112, benchmarks; multicast and all above.
        [0 | 224..=255, ..]
        | [192, 0, 0 | 2, _]
        | [192, 31, 196, _]
        | [192, 52, 193, _]
        | [192, 88, 99, _]
        | [192, 175, 48, _]
        | [198, 18 | 19, ..]
        | [198, 51, 100, _]
        | [203, 0, 113, _] => AddressKind::Reserved,
        _ => AddressKind::Public,
    }
}

fn kind_v6(address: Ipv6Addr) -> AddressKind {
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => AddressKind::Reserved,
        [0, 0, 0, 0, 0, 0, 0, 1] => AddressKind::Loopback,
        // Compatible, mapped, translated (RFC 2765), NAT64, 6to4, Teredo.
        [0, 0, 0, 0, 0, 0, ..]
        | [0, 0, 0, 0, 0, 0xffff, ..]
        | [0, 0, 0, 0, 0xffff, 0, ..]
        | [0x64, 0xff9b, ..]
        | [0x2002, ..]
        | [0x2001, 0, ..] => AddressKind::Translated,
        [0xfc00..=0xfdff, ..] => AddressKind::Private,
        [0xfe80..=0xfeff, ..] => AddressKind::LinkLocal,
        // Protocols, documentation.
        [0x2001, 0..=0x1ff | 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => AddressKind::Reserved,
        // The only range of which public addresses are assigned.
        [0x2000..=0x3fff, ..] => AddressKind::Public,
        _ => AddressKind::Reserved,
    }
}

/// Whether this address may be called. `private`: the operator named the host as one of their own network.
#[must_use]
pub fn may_call(address: IpAddr, private: bool) -> bool {
    match kind(address) {
        AddressKind::Public => true,
        AddressKind::Loopback | AddressKind::Private => private,
        AddressKind::LinkLocal | AddressKind::Reserved | AddressKind::Translated => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TABLE: &[(AddressKind, &[&str])] = &[
        (
            AddressKind::Public,
            &[
                "1.1.1.1",
                "8.8.8.8",
                "9.255.255.255",
                "11.0.0.0",
                "100.63.255.255",
                "100.128.0.0",
                "126.255.255.255",
                "128.0.0.0",
                "169.253.255.255",
                "169.255.0.0",
                "172.15.255.255",
                "172.32.0.0",
                "192.0.1.0",
                "192.167.255.255",
                "192.169.0.0",
                "198.17.255.255",
                "198.20.0.0",
                "223.255.255.255",
                "2001:200::1",
                "2001:4860:4860::8888",
                "2003::1",
                "2606:4700::1",
                "2a00:1450::1",
            ],
        ),
        (AddressKind::Loopback, &["127.0.0.1", "127.255.255.254", "127.1.2.3", "::1"]),
        (
            AddressKind::Private,
            &[
                "10.0.0.0",
                "10.255.255.255",
                "172.16.0.0",
                "172.31.255.255",
                "192.168.0.0",
                "192.168.255.255",
                "100.64.0.0",
                "100.100.100.200",
                "100.127.255.255",
                "fc00::",
                "fd00:ec2::254",
                "fdff:ffff::1",
            ],
        ),
        (
            AddressKind::LinkLocal,
            &[
                "169.254.0.0",
                "169.254.169.254",
                "169.254.255.255",
                "fe80::1",
                "febf::1",
                "fec0::1",
                "feff::1",
            ],
        ),
        (
            AddressKind::Reserved,
            &[
                "0.0.0.0",
                "0.1.2.3",
                "192.0.0.8",
                "192.0.2.1",
                "192.88.99.1",
                "198.18.0.0",
                "198.19.255.255",
                "198.51.100.1",
                "203.0.113.1",
                "224.0.0.1",
                "239.255.255.255",
                "240.0.0.1",
                "255.255.255.255",
                "::",
                "100::1",
                "2001:1::1",
                "2001:db8::1",
                "3fff::1",
                "4000::1",
                "5f00::1",
                "ff02::1",
                "ff0e::1",
                "1::1",
                "fbff::1",
            ],
        ),
        (
            AddressKind::Translated,
            &[
                "::ffff:127.0.0.1",
                "::ffff:8.8.8.8",
                "::ffff:169.254.169.254",
                "::127.0.0.1",
                "::8.8.8.8",
                "::ffff:0:127.0.0.1",
                "64:ff9b::127.0.0.1",
                "64:ff9b::8.8.8.8",
                "64:ff9b:1::10.0.0.1",
                "2002:7f00:1::",
                "2002:0808:0808::1",
                "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            ],
        ),
    ];

    #[test]
    fn every_kind_of_address_is_known() {
        for (wanted, addresses) in TABLE {
            for address in *addresses {
                assert_eq!(kind(address.parse().unwrap()), *wanted, "{address}");
            }
        }
    }

    #[test]
    fn only_public_addresses_are_called_unless_the_operator_names_the_host() {
        for (kind, addresses) in TABLE {
            let own = matches!(kind, AddressKind::Loopback | AddressKind::Private);
            for address in *addresses {
                let address = address.parse().unwrap();
                assert_eq!(may_call(address, false), *kind == AddressKind::Public, "{address}");
                assert_eq!(may_call(address, true), *kind == AddressKind::Public || own, "{address}");
            }
        }
    }

    proptest! {
        /// What the standard library knows to be special is never public here.
        #[test]
        fn nothing_that_the_standard_library_knows_is_public(v4 in any::<u32>(), v6 in any::<u128>()) {
            let (v4, v6) = (Ipv4Addr::from(v4), Ipv6Addr::from(v6));
            if v4.is_loopback() || v4.is_private() || v4.is_link_local() || v4.is_multicast() || v4.is_broadcast()
                || v4.is_documentation() || v4.is_unspecified() {
                prop_assert!(!may_call(v4.into(), false), "{v4}");
            }
            if v6.is_loopback() || v6.is_multicast() || v6.is_unspecified() || v6.is_unique_local()
                || v6.is_unicast_link_local() || v6.to_ipv4().is_some() {
                prop_assert!(!may_call(v6.into(), false), "{v6}");
            }
            prop_assert!(!may_call(v4.to_ipv6_mapped().into(), true));
            prop_assert!(!may_call(v4.to_ipv6_compatible().into(), false));
        }
    }
}
