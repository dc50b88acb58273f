//! Which form of a file a client takes: `Accept-Encoding` against the forms that exist. The field is a
//! stranger's.

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

use crate::kernel::fs::{Encoding, Encodings};

/// What a client said of each form: its weight in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Weights {
    gzip: Option<u16>,
    brotli: Option<u16>,
    zstd: Option<u16>,
    identity: Option<u16>,
    any: Option<u16>,
}

/// The form to send: the heaviest that exists, the smallest of those that weigh the same. Identity where
/// nothing is acceptable: better an answer than 406.
pub(crate) fn choose(headers: &HeaderMap, encodings: Encodings) -> Encoding {
    if encodings == Encodings::default() || !headers.contains_key(ACCEPT_ENCODING) {
        return Encoding::Identity;
    }
    let weights = weigh(headers);
    let candidates = [
        (Encoding::Brotli, weights.brotli.or(weights.any)),
        (Encoding::Zstd, weights.zstd.or(weights.any)),
        (Encoding::Gzip, weights.gzip.or(weights.any)),
    ];
    // Identity that is not named weighs least of what is acceptable.
    let mut best = (Encoding::Identity, weights.identity.unwrap_or(0), u32::MAX);
    for (encoding, weight) in candidates {
        if let (Some(weight), Some(bytes)) = (weight, encodings.bytes(encoding))
            && weight > 0
            && (weight, u32::MAX - bytes) > (best.1, u32::MAX - best.2)
        {
            best = (encoding, weight, bytes);
        }
    }
    best.0
}

fn weigh(headers: &HeaderMap) -> Weights {
    let mut weights = Weights { gzip: None, brotli: None, zstd: None, identity: None, any: None };
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.as_bytes().split(|&b| b == b',') {
            let mut parts = item.split(|&b| b == b';');
            let token = parts.next().unwrap_or_default().trim_ascii();
            let slot = match token {
                _ if token.eq_ignore_ascii_case(b"br") => &mut weights.brotli,
                _ if token.eq_ignore_ascii_case(b"gzip") || token.eq_ignore_ascii_case(b"x-gzip") => {
                    &mut weights.gzip
                }
                _ if token.eq_ignore_ascii_case(b"zstd") => &mut weights.zstd,
                _ if token.eq_ignore_ascii_case(b"identity") => &mut weights.identity,
                b"*" => &mut weights.any,
                _ => continue,
            };
            let weight = parts.find_map(|part| weight(part.trim_ascii())).unwrap_or(1_000);
            *slot = Some(weight);
        }
    }
    weights
}

/// Reads `q=0.123` into thousandths. A malformed weight is none at all: not acceptable.
fn weight(part: &[u8]) -> Option<u16> {
    let (name, value) = part.split_at_checked(2)?;
    if !name.eq_ignore_ascii_case(b"q=") {
        return None;
    }
    let parsed = match value {
        [b'1'] | [b'1', b'.', ..] if value.iter().skip(2).all(|&b| b == b'0') => 1_000,
        [b'0'] | [b'0', b'.'] => 0,
        [b'0', b'.', digits @ ..] if digits.len() <= 3 && digits.iter().all(u8::is_ascii_digit) => {
            [100, 10, 1].iter().zip(digits).map(|(scale, digit)| scale * u16::from(digit - b'0')).sum()
        }
        _ => 0,
    };
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heaviest_form_that_exists_is_chosen_then_the_smallest() {
        use Encoding as E;
        let all = Encodings { gzip: 300, brotli: 200, zstd: 250 };
        let small_zstd = Encodings { gzip: 300, brotli: 200, zstd: 150 };
        let gzip = Encodings { gzip: 300, ..Encodings::default() };
        for (field, encodings, expect) in [
            (None, all, E::Identity),
            (Some("gzip, deflate, br, zstd"), all, E::Brotli),
            (Some("gzip, deflate, br, zstd"), small_zstd, E::Zstd),
            (Some("gzip, deflate, br, zstd"), gzip, E::Gzip),
            (Some("gzip, deflate, br, zstd"), Encodings::default(), E::Identity),
            (Some("br;q=0, gzip;q=0.5"), all, E::Gzip),
            (Some("br;q=0.1, gzip;q=0.9"), all, E::Gzip),
            (Some("BR ; Q=1.000"), all, E::Brotli),
            (Some("*"), all, E::Brotli),
            (Some("*;q=0.5, br;q=0"), all, E::Zstd),
            (Some("identity, gzip;q=0.5"), all, E::Identity),
            (Some("identity;q=0"), all, E::Identity),
            (Some("gzip;q=1.5"), all, E::Identity),
            (Some("gzip;q=abc"), all, E::Identity),
            (Some("gzip;q=0.0001"), all, E::Identity),
            (Some("x-gzip"), all, E::Gzip),
            (Some(""), all, E::Identity),
            (Some(",;,;q=,"), all, E::Identity),
            (Some("deflate"), all, E::Identity),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(field) = field {
                headers.insert(ACCEPT_ENCODING, field.parse().expect("value"));
            }
            assert_eq!(choose(&headers, encodings), expect, "{field:?}");
        }
    }
}
