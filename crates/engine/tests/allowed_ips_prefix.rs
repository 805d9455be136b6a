//! The text form of a prefix, and what it contains.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use wirewright_engine::allowed_ips::{Prefix, PrefixError};

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn message(text: &str) -> String {
    text.parse::<Prefix>().unwrap_err().to_string()
}

#[test]
fn host_bits_are_dropped() {
    assert_eq!(prefix("10.1.2.3/8").to_string(), "10.0.0.0/8");
    assert_eq!(prefix("10.1.2.3/0").to_string(), "0.0.0.0/0");
    assert_eq!(prefix("fd00::ffff:1/112").to_string(), "fd00::ffff:0/112");
    assert_eq!(prefix("fd00::1/0").to_string(), "::/0");
}

#[test]
fn an_address_alone_is_a_prefix_of_all_its_bits() {
    assert_eq!(prefix("10.1.2.3").to_string(), "10.1.2.3/32");
    assert_eq!(prefix("fd00::1").to_string(), "fd00::1/128");
    assert_eq!(Prefix::host(Ipv4Addr::LOCALHOST), prefix("127.0.0.1"));
}

#[test]
fn what_is_no_prefix_is_refused_with_advice() {
    assert_eq!(
        message("10.0.0.0/33"),
        "a prefix length of 33 is too long: an IPv4 address has 32 bits"
    );
    assert_eq!(
        message("fd00::/129"),
        "a prefix length of 129 is too long: an IPv6 address has 128 bits"
    );
    assert_eq!(
        message("10.0.0.0/999"),
        "a prefix length of 999 is too long: an IPv4 address has 32 bits"
    );
    assert_eq!(
        message("10.0.0/8"),
        "\"10.0.0\" is not an IP address; write a prefix as 10.0.0.0/8 or fd00::/64"
    );
    for len in ["", "+8", "-1", "8/8", "x", " 8", "0008", "٣"] {
        assert_eq!(
            message(&format!("10.0.0.0/{len}")),
            format!("{len:?} is not a prefix length; write a number from 0 to 32 behind the slash")
        );
    }
    for text in [
        "",
        "/",
        "/8",
        "example.org/8",
        "10.0.0.0 /8",
        "1.2.3.4:5/8",
        "[::1]/8",
    ] {
        assert!(
            matches!(text.parse::<Prefix>(), Err(PrefixError::Address { .. })),
            "{text:?}"
        );
    }
}

#[test]
fn an_error_repeats_only_the_beginning_of_a_long_text() {
    assert!(message(&"ü".repeat(10_000)).len() < 200);
    assert!(message(&format!("::/{}", "9".repeat(10_000))).len() < 200);
}

#[test]
fn a_prefix_contains_its_own_family_only() {
    assert!(prefix("0.0.0.0/0").contains(Ipv4Addr::BROADCAST));
    assert!(!prefix("0.0.0.0/0").contains(Ipv6Addr::UNSPECIFIED));
    assert!(!prefix("::/0").contains(Ipv4Addr::UNSPECIFIED));
    assert!(!prefix("::/64").contains(Ipv4Addr::UNSPECIFIED));
    assert!(prefix("10.0.0.0/8").contains(Ipv4Addr::new(10, 255, 0, 1)));
    assert!(!prefix("10.0.0.0/8").contains(Ipv4Addr::new(11, 0, 0, 1)));
}

#[test]
fn a_prefix_comes_right_before_those_inside_it() {
    let mut prefixes = ["::/0", "10.0.0.0/9", "9.0.0.0/8", "10.128.0.0/9", "10.0.0.0/8"].map(prefix);
    prefixes.sort();
    let sorted = prefixes.map(|prefix| prefix.to_string());
    assert_eq!(
        sorted,
        ["9.0.0.0/8", "10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9", "::/0"]
    );
}

proptest! {
    #[test]
    fn the_text_form_reads_back(address: IpAddr, len in 0..=128u8) {
        match Prefix::new(address, len) {
            Ok(prefix) => {
                prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
                prop_assert!(prefix.contains(address) && prefix.contains(prefix.address()));
                prop_assert_eq!(prefix.len(), len);
            }
            Err(_) => prop_assert!(address.is_ipv4() && len > 32),
        }
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[0-9a-f:./ +]{0,50}|.{0,20}") {
        let _ = text.parse::<Prefix>();
    }
}
