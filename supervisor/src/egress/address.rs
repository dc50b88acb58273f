//! Which addresses may be connected to. All that a name stands for are looked at; one that may not be reached refuses
//! the name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 ranges that nobody reaches from here, with their length in bits and what they are.
const REFUSED_4: &[(Ipv4Addr, u32, &str)] = &[
    (Ipv4Addr::new(0, 0, 0, 0), 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "a private network"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "a provider's inner network"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "this machine"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "the local link, where clouds keep credentials"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "a private network"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "a relay that leads elsewhere"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "a private network"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for measurements"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "for groups of machines"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

const fn v6(a: u16, b: u16, c: u16) -> Ipv6Addr {
    Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0)
}

/// The same for IPv6. What may carry an IPv4 address inside is refused whole.
const REFUSED_6: &[(Ipv6Addr, u32, &str)] = &[
    (Ipv6Addr::LOCALHOST, 128, "this machine"),
    (Ipv6Addr::UNSPECIFIED, 96, "no address, or an IPv4 address inside"),
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, "an IPv4 address inside"),
    (Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, 0, 0), 96, "an IPv4 address inside"),
    (v6(0x64, 0xff9b, 0), 96, "an IPv4 address inside"),
    (v6(0x64, 0xff9b, 1), 48, "an IPv4 address inside"),
    (v6(0x100, 0, 0), 64, "where everything is thrown away"),
    (v6(0x2001, 0, 0), 32, "an IPv4 address inside"),
    (v6(0x2001, 2, 0), 48, "for measurements"),
    (v6(0x2001, 0xdb8, 0), 32, "for documentation"),
    (v6(0x2002, 0, 0), 16, "an IPv4 address inside"),
    (v6(0x3fff, 0, 0), 20, "for documentation"),
    (v6(0xfc00, 0, 0), 7, "a private network"),
    (v6(0xfe80, 0, 0), 10, "the local link"),
    (v6(0xfec0, 0, 0), 10, "a private network"),
    (v6(0xff00, 0, 0), 8, "for groups of machines"),
];

/// Whether this is an address of this machine alone.
fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

/// Why nobody may connect there; none: they may. `own` are addresses of this machine. In the test network loopback is
/// open, and nothing else that is closed otherwise.
pub(super) fn refused(address: IpAddr, own: &[IpAddr], test_network: bool) -> Option<&'static str> {
    if is_loopback(address)
        && !matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
        && test_network
    {
        return None;
    }
    let found = match address {
        IpAddr::V4(address) => REFUSED_4.iter().find_map(|(base, bits, what)| {
            let apart = base.to_bits() ^ address.to_bits();
            (apart >> (32 - bits) == 0).then_some(*what)
        }),
        IpAddr::V6(address) => REFUSED_6.iter().find_map(|(base, bits, what)| {
            let apart = base.to_bits() ^ address.to_bits();
            (apart >> (128 - bits) == 0).then_some(*what)
        }),
    };
    found.or_else(|| own.contains(&address.to_canonical()).then_some("this machine"))
}

/// The addresses of this machine, out of `/proc/net/fib_trie` and `/proc/net/if_inet6`.
pub(super) fn own(fib_trie: &str, if_inet6: &str) -> Vec<IpAddr> {
    let mut all = Vec::new();
    let mut last: Option<Ipv4Addr> = None;
    for line in fib_trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            last = address.parse().ok();
        } else if line.starts_with("/32 host LOCAL")
            && let Some(address) = last
        {
            all.push(IpAddr::V4(address));
        }
    }
    let six = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    all.extend(if_inet6.lines().filter_map(six).map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))));
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// First and last address of each range, and the neighbours that are none of it.
    #[test]
    fn every_range_is_closed_from_end_to_end_and_no_further() {
        let ranges_4 = REFUSED_4.iter().map(|(base, bits, _)| (base.to_bits(), 32 - bits));
        for (base, rest) in ranges_4 {
            let last = base | (((1u64 << rest) - 1) as u32);
            for inside in [base, last] {
                assert!(refused(Ipv4Addr::from_bits(inside).into(), &[], false).is_some());
                let mapped = Ipv4Addr::from_bits(inside).to_ipv6_mapped();
                assert!(refused(mapped.into(), &[], false).is_some(), "{mapped}");
                assert!(refused(mapped.into(), &[], true).is_some(), "{mapped}");
            }
        }
        for (base, bits, _) in REFUSED_6 {
            let last = base.to_bits() | 1u128.checked_shl(128 - bits).map_or(u128::MAX, |end| end - 1);
            for inside in [base.to_bits(), last] {
                assert!(refused(Ipv6Addr::from_bits(inside).into(), &[], false).is_some(), "{base}/{bits}");
            }
        }
        for open in [
            "1.0.0.0",
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
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "8.8.8.8",
            "2600::1",
            "2001:1::1",
            "2001:4860:4860::8888",
            "2003::",
            "fbff::",
            "2a00::1",
        ] {
            assert_eq!(refused(open.parse().expect("an address"), &[], false), None, "{open}");
        }
    }

    #[test]
    fn what_the_page_names_is_closed() {
        for closed in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.1.2.3",
            "169.254.169.254",
            "172.16.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001::1",
            "fd00:ec2::254",
        ] {
            assert!(refused(closed.parse().expect("an address"), &[], false).is_some(), "{closed}");
        }
    }

    #[test]
    fn the_machines_own_addresses_are_closed_and_the_test_network_opens_loopback_alone() {
        let own = ["203.0.114.7", "2a00::7"].map(|text| text.parse().expect("an address"));
        for address in own {
            assert_eq!(refused(address, &own, false), Some("this machine"));
            assert_eq!(refused(address, &own, true), Some("this machine"));
            assert_eq!(refused(address, &[], false), None);
        }
        for (address, open) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("10.0.0.1", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("::ffff:127.0.0.1", false),
        ] {
            assert_eq!(
                refused(address.parse().expect("an address"), &own, true).is_none(),
                open,
                "{address}"
            );
        }
    }

    #[test]
    fn addresses_of_the_machine_are_read_as_the_kernel_writes_them() {
        let four = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     |-- 10.0.0.0\n        \
                    /24 link UNICAST\nLocal:\n     |-- 10.0.0.5\n        /32 host LOCAL\n     |-- 10.0.0.255\n        \
                    /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\n";
        let six = "00000000000000000000000000000001 01 80 10 80       lo\n2a000000000000000000000000000007 02 40 00 80     eth0\n";
        let expect: Vec<IpAddr> = ["10.0.0.5", "127.0.0.1", "::1", "2a00::7"]
            .iter()
            .map(|text| text.parse().expect("an address"))
            .collect();
        assert_eq!(own(four, six), expect);
        assert_eq!(own("nonsense\n/32 host LOCAL", "zz\n\n"), Vec::<IpAddr>::new());
    }
}
