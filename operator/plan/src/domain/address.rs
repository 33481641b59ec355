//! Is this an address of the public internet? A customer's name may lead to any: the operator's own
//! network, its cloud's metadata. What has no public address no authority reaches either.
//!
//! The networks are those of IANA's registries of special-purpose addresses (RFC 6890) that are not
//! globally reachable, and those that lead on to an IPv4 address inside of an IPv6 address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length)
}

const fn v6(first: u16, second: u16, third: u16, length: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(first, second, third, 0, 0, 0, 0, 0), length)
}

const IPV4: &[(Ipv4Net, &str)] = &[
    (v4(0, 0, 0, 0, 8), "of this network only (RFC 791)"),
    (v4(10, 0, 0, 0, 8), PRIVATE),
    (
        v4(100, 64, 0, 0, 10),
        "shared behind a provider's NAT (RFC 6598)",
    ),
    (v4(127, 0, 0, 0, 8), LOOPBACK),
    (v4(169, 254, 0, 0, 16), LINK_LOCAL),
    (v4(172, 16, 0, 0, 12), PRIVATE),
    (v4(192, 0, 0, 0, 24), PROTOCOLS),
    (v4(192, 0, 2, 0, 24), DOCUMENTATION),
    (v4(192, 88, 99, 0, 24), "of a 6to4 relay (RFC 7526)"),
    (v4(192, 168, 0, 0, 16), PRIVATE),
    (v4(198, 18, 0, 0, 15), "for benchmarks (RFC 2544)"),
    (v4(198, 51, 100, 0, 24), DOCUMENTATION),
    (v4(203, 0, 113, 0, 24), DOCUMENTATION),
    (v4(224, 0, 0, 0, 4), MULTICAST),
    (
        v4(255, 255, 255, 255, 32),
        "of everybody nearby (broadcast)",
    ),
    (v4(240, 0, 0, 0, 4), "reserved (RFC 1112)"),
    // It is a public one, which Azure has for itself in every virtual network.
    (v4(168, 63, 129, 16, 32), "of Azure's own services"),
];

/// What is global unicast (RFC 4291 §2.4). Nothing else leads through the internet.
const GLOBAL: Ipv6Net = v6(0x2000, 0, 0, 3);

/// The more special before the more general.
const IPV6: &[(Ipv6Net, &str)] = &[
    (v6(0, 0, 0, 128), "of no host"),
    (Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128), LOOPBACK),
    (
        Ipv6Net::new_assert(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped(), 96),
        "an IPv4 address in another form",
    ),
    (v6(0x64, 0xff9b, 0, 96), TRANSLATED),
    (v6(0x64, 0xff9b, 1, 48), TRANSLATED),
    (v6(0xfc00, 0, 0, 7), "private (RFC 4193)"),
    (v6(0xfe80, 0, 0, 10), LINK_LOCAL),
    (v6(0xfec0, 0, 0, 10), "private (RFC 3879)"),
    (v6(0xff00, 0, 0, 8), MULTICAST),
    (v6(0x2001, 0, 0, 32), "tunnelled IPv4 (Teredo)"),
    (v6(0x2001, 0, 0, 23), PROTOCOLS),
    (v6(0x2001, 0xdb8, 0, 32), DOCUMENTATION),
    (v6(0x2002, 0, 0, 16), "tunnelled IPv4 (6to4)"),
    (v6(0x3fff, 0, 0, 20), DOCUMENTATION),
];

const PRIVATE: &str = "private (RFC 1918)";
const LOOPBACK: &str = "of the host itself (loopback)";
const LINK_LOCAL: &str = "of one link only, where clouds keep their metadata";
const PROTOCOLS: &str = "kept for protocols (IETF)";
const DOCUMENTATION: &str = "for documentation only";
const MULTICAST: &str = "of many hosts (multicast)";
const TRANSLATED: &str = "translated IPv4 (NAT64)";

/// Why an address is not of the public internet: it is "private (RFC 1918)"; `None` when it is.
#[must_use]
pub fn why_not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => IPV4
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(_, what)| *what),
        IpAddr::V6(address) => IPV6
            .iter()
            .find(|(net, _)| net.contains(&address))
            .map(|(_, what)| *what)
            .or_else(|| (!GLOBAL.contains(&address)).then_some("not assigned to anybody")),
    }
}
