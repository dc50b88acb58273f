//! What a client's conditions ask for: the whole, a part, nothing new, or nothing at all. The fields are a
//! stranger's; the entity tags are ours and strong. Files have no `Last-Modified`, so conditions on dates do
//! not hold back anything.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// 200 with all of it.
    Whole,
    /// 206 with the bytes from the first to the last, both included.
    Part {
        /// First byte.
        first: u64,
        /// Last byte.
        last: u64,
    },
    /// 304
    NothingNew,
    /// 412
    Failed,
    /// 416
    Unsatisfiable,
}

/// Judges the conditions against a strong `etag`, quotes included.
pub(crate) fn judge(headers: &HeaderMap, etag: &[u8]) -> Option<Wanted> {
    if headers.contains_key(IF_MATCH) {
        let mut tags = headers.get_all(IF_MATCH).iter().flat_map(|value| tags(value.as_bytes()));
        // Strong comparison: a weak tag never matches.
        if !tags.any(|tag| tag == Tag::Any || tag == Tag::Strong(etag)) {
            return Some(Wanted::Failed);
        }
    }
    if headers.contains_key(IF_NONE_MATCH) {
        let mut tags = headers.get_all(IF_NONE_MATCH).iter().flat_map(|value| tags(value.as_bytes()));
        if tags.any(|tag| tag == Tag::Any || tag == Tag::Strong(etag) || tag == Tag::Weak(etag)) {
            return Some(Wanted::NothingNew);
        }
    }
    None
}

/// Judges `Range` and `If-Range` against a content of `bytes`. Several ranges, other units and malformed
/// fields are answered with the whole, as the standard allows.
pub(crate) fn range(headers: &HeaderMap, etag: &[u8], bytes: u64) -> Wanted {
    let mut ranges = headers.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else { return Wanted::Whole };
    if let Some(condition) = headers.get(IF_RANGE)
        && condition.as_bytes().trim_ascii() != etag
    {
        return Wanted::Whole;
    }
    let value = range.as_bytes().trim_ascii();
    let Some((unit, spec)) = value.split_at_checked(6) else { return Wanted::Whole };
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return Wanted::Whole;
    }
    let spec = spec.trim_ascii();
    let Some(dash) = spec.iter().position(|&b| b == b'-') else { return Wanted::Whole };
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    let parsed = match (number(first), number(last)) {
        (Some(first), Some(last)) if first > last => return Wanted::Whole,
        (Some(first), Some(last)) => (first, last.min(bytes.saturating_sub(1))),
        (Some(first), None) if last.is_empty() => (first, bytes.saturating_sub(1)),
        (None, Some(0)) if first.is_empty() => return Wanted::Unsatisfiable,
        (None, Some(suffix)) if first.is_empty() => (bytes.saturating_sub(suffix), bytes.saturating_sub(1)),
        _ => return Wanted::Whole,
    };
    if parsed.0 >= bytes {
        return Wanted::Unsatisfiable;
    }
    Wanted::Part { first: parsed.0, last: parsed.1 }
}

/// Digits only; more than fit are as good as the largest number.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0'))),
    )
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tag<'a> {
    Any,
    Strong(&'a [u8]),
    Weak(&'a [u8]),
}

/// The entity tags of a list. What is malformed ends it.
fn tags(mut rest: &[u8]) -> impl Iterator<Item = Tag<'_>> {
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        while let [b',', more @ ..] = rest {
            rest = more.trim_ascii_start();
        }
        if let [b'*', more @ ..] = rest {
            rest = more;
            return Some(Tag::Any);
        }
        let (weak, quoted) = match rest {
            [b'W', b'/', more @ ..] => (true, more),
            _ => (false, rest),
        };
        if quoted.first() != Some(&b'"') {
            rest = &[];
            return None;
        }
        let end = quoted[1..].iter().position(|&b| b == b'"')? + 2;
        let tag = &quoted[..end];
        rest = &quoted[end..];
        Some(if weak { Tag::Weak(tag) } else { Tag::Strong(tag) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn map(fields: &[(HeaderName, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (name.clone(), value.parse().expect("value"))).collect()
    }

    #[test]
    fn etags_are_compared_as_the_standard_says() {
        use Wanted as W;
        for (none_match, expect) in [
            ("\"a\"", Some(W::NothingNew)),
            ("W/\"a\"", Some(W::NothingNew)),
            ("\"x\", \"a\"", Some(W::NothingNew)),
            ("\"x,\" , W/\"a\"", Some(W::NothingNew)),
            ("*", Some(W::NothingNew)),
            ("\"b\"", None),
            ("a", None),
            ("\"a", None),
            ("w/\"a\"", None),
            ("", None),
        ] {
            assert_eq!(judge(&map(&[(IF_NONE_MATCH, none_match)]), b"\"a\""), expect, "{none_match}");
        }
        for (if_match, expect) in
            [("\"a\"", None), ("*", None), ("W/\"a\"", Some(W::Failed)), ("\"b\", \"c\"", Some(W::Failed))]
        {
            assert_eq!(judge(&map(&[(IF_MATCH, if_match)]), b"\"a\""), expect, "{if_match}");
        }
    }

    #[test]
    fn one_range_is_cut_and_anything_else_is_the_whole() {
        use Wanted as W;
        let part = |first, last| W::Part { first, last };
        for (field, expect) in [
            ("bytes=0-3", part(0, 3)),
            ("Bytes=0-0", part(0, 0)),
            ("bytes=-2", part(8, 9)),
            ("bytes=-20", part(0, 9)),
            ("bytes=8-", part(8, 9)),
            ("bytes=5-99", part(5, 9)),
            ("bytes=5-99999999999999999999999", part(5, 9)),
            ("bytes=10-", W::Unsatisfiable),
            ("bytes=99999999999999999999999-", W::Unsatisfiable),
            ("bytes=-0", W::Unsatisfiable),
            ("bytes=3-1", W::Whole),
            ("bytes=0-1,3-4", W::Whole),
            ("bytes=-", W::Whole),
            ("bytes=a-b", W::Whole),
            ("bytes=1", W::Whole),
            ("bytes=+1-2", W::Whole),
            ("lines=0-3", W::Whole),
            ("", W::Whole),
        ] {
            assert_eq!(range(&map(&[(RANGE, field)]), b"\"a\"", 10), expect, "{field}");
        }
        assert_eq!(range(&map(&[(RANGE, "bytes=0-1"), (RANGE, "bytes=2-3")]), b"\"a\"", 10), W::Whole);
        assert_eq!(range(&map(&[(RANGE, "bytes=0-")]), b"\"a\"", 0), W::Unsatisfiable);
        assert_eq!(range(&HeaderMap::new(), b"\"a\"", 10), W::Whole);
    }

    #[test]
    fn a_range_of_something_else_is_the_whole() {
        for (if_range, expect) in [
            ("\"a\"", Wanted::Part { first: 0, last: 1 }),
            ("\"b\"", Wanted::Whole),
            ("W/\"a\"", Wanted::Whole),
            ("Fri, 20 Nov 2026 00:00:00 GMT", Wanted::Whole),
        ] {
            assert_eq!(
                range(&map(&[(RANGE, "bytes=0-1"), (IF_RANGE, if_range)]), b"\"a\"", 10),
                expect,
                "{if_range}"
            );
        }
    }
}
