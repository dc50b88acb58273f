//! Hosts of URLs: domains by IDNA, IPv4 in all its spellings, IPv6, opaque hosts. Input is hostile.

use std::net::Ipv6Addr;

use idna::AsciiDenyList;

use super::percent::{C0, decode, encode};

/// The serialised host, or nothing if the input is not one.
pub(super) fn parse(input: &str, opaque: bool) -> Option<String> {
    if let Some(rest) = input.strip_prefix('[') {
        let address: Ipv6Addr = rest.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{}]", ipv6(address)));
    }
    if opaque {
        if input.chars().any(|c| forbidden(c) && c != '%') {
            return None;
        }
        let mut host = String::new();
        encode(input, C0, &mut host);
        return Some(host);
    }
    let domain = decode(input);
    let ascii = to_ascii(&domain)?;
    if ascii.is_empty() || ascii.chars().any(|c| forbidden(c) || c == '%' || c <= '\x1f' || c == '\x7f') {
        return None;
    }
    if ends_in_number(&ascii) { ipv4(&ascii) } else { Some(ascii) }
}

/// Domain to ASCII, not strict.
pub(super) fn to_ascii(domain: &str) -> Option<String> {
    idna::domain_to_ascii_cow(domain.as_bytes(), AsciiDenyList::URL).ok().map(std::borrow::Cow::into_owned)
}

fn forbidden(c: char) -> bool {
    matches!(
        c,
        '\0' | '\t' | '\n' | '\r' | ' ' | '#' | '/' | ':' | '<' | '>' | '?' | '@' | '[' | '\\' | ']' | '^' | '|' | '%'
    )
}

/// Lower-case hexadecimal, the first longest run of at least two zero pieces left out.
fn ipv6(address: Ipv6Addr) -> String {
    let pieces = address.segments();
    let (mut start, mut length) = (0, 0);
    let mut at = 0;
    while at < 8 {
        let run = pieces[at..].iter().take_while(|piece| **piece == 0).count();
        if run > length {
            (start, length) = (at, run);
        }
        at += run.max(1);
    }
    let hex = |pieces: &[u16]| pieces.iter().map(|piece| format!("{piece:x}")).collect::<Vec<_>>().join(":");
    if length < 2 {
        return hex(&pieces);
    }
    format!("{}::{}", hex(&pieces[..start]), hex(&pieces[start + length..]))
}

fn ends_in_number(host: &str) -> bool {
    let mut parts = host.split('.').rev();
    let Some(mut last) = parts.next() else { return false };
    if last.is_empty() {
        match parts.next() {
            Some(before) => last = before,
            None => return false,
        }
    }
    (!last.is_empty() && last.bytes().all(|byte| byte.is_ascii_digit())) || number(last).is_some()
}

/// An IPv4 number in base 8, 10 or 16; too large ones saturate.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let (digits, radix) = if let Some(hex) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        (hex, 16)
    } else if text.len() > 1 && text.starts_with('0') {
        (&text[1..], 8)
    } else {
        (text, 10)
    };
    digits.chars().try_fold(0_u64, |sum, digit| {
        Some(sum.saturating_mul(u64::from(radix)).saturating_add(u64::from(digit.to_digit(radix)?)))
    })
}

fn ipv4(host: &str) -> Option<String> {
    let mut parts: Vec<&str> = host.split('.').collect();
    if parts.len() > 1 && parts.last() == Some(&"") {
        parts.pop();
    }
    if parts.len() > 4 {
        return None;
    }
    let numbers = parts.iter().map(|part| number(part)).collect::<Option<Vec<u64>>>()?;
    let (last, first) = numbers.split_last()?;
    if first.iter().any(|part| *part > 255) || *last >= 256_u64.pow(5 - numbers.len() as u32) {
        return None;
    }
    let address = first.iter().enumerate().fold(*last, |sum, (at, part)| sum + (part << (24 - 8 * at)));
    let [a, b, c, d] = (address as u32).to_be_bytes();
    Some(format!("{a}.{b}.{c}.{d}"))
}
