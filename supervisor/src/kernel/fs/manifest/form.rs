//! Forms of text in a manifest.

use crate::kernel::fs::cron::Schedule;

pub(super) fn date(text: &str) -> bool {
    let part = |range| text.get(range).filter(|part: &&str| part.bytes().all(|b| b.is_ascii_digit()));
    let number = |range| part(range).and_then(|part| part.parse::<u32>().ok());
    let dashes = text.len() == 10 && text.as_bytes()[4] == b'-' && text.as_bytes()[7] == b'-';
    let (Some(year), Some(month), Some(day)) = (number(0..4), number(5..7), number(8..10)) else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 0,
    };
    dashes && (1..=days).contains(&day)
}

pub(super) fn host(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // A last label that starts with a digit would be an address.
    name.contains('.')
        && name.split('.').all(label)
        && !name.rsplit('.').next().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_digit()))
}

pub(super) fn binding(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

pub(super) fn label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

pub(super) fn timezone(text: &str) -> bool {
    text.split('/').count() <= 3
        && text.split('/').all(|part| {
            !part.is_empty()
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'+' | b'-'))
        })
}

/// Five fields of numbers, names, ranges, steps and lists.
pub(super) fn schedule(text: &str) -> bool {
    Schedule::parse(text, "UTC").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_take_what_they_name_and_nothing_else() {
        type Row = (fn(&str) -> bool, &'static [&'static str], &'static [&'static str]);
        let table: [Row; 6] = [
            (
                date,
                &["2026-11-20", "2024-02-29"],
                &["2026-2-1", "2025-02-29", "2026-13-01", "2026-11-2x", "", "20261-1-20"],
            ),
            (
                host,
                &["api.github.com", "*.example.org", "xn--bcher-kva.example"],
                &[
                    "https://a.b",
                    "a.b:80",
                    "A.b",
                    "localhost",
                    "*",
                    "*.",
                    "a..b",
                    "10.0.0.1",
                    "-a.b",
                    "a.b/c",
                    "a.*.b",
                ],
            ),
            (fazt_ipc::control::EnvChange::is_name, &["a", "API_KEY", "x1"], &["", "1a", "_a", "a-b", "é"]),
            (binding, &["KV", "_db", "my_BUCKET2"], &["", "1a", "a/b", "a-b", "é", "a\0"]),
            (
                timezone,
                &["UTC", "Europe/Berlin", "America/Argentina/Ushuaia"],
                &["", "a//b", "../etc", "a b"],
            ),
            (
                schedule,
                &["0 8 * * *", "*/5 * * * *", "0-30/10 1,2,3 1 jan-mar mon", "0 0 * * 7"],
                &[
                    "0 8 * *",
                    "60 * * * *",
                    "* * * * * *",
                    "5/2 * * * *",
                    "0  8 * *",
                    "a * * * *",
                    "9-1 * * * *",
                    "*/0 * * * *",
                ],
            ),
        ];
        for (at, (form, good, bad)) in table.into_iter().enumerate() {
            for text in good {
                assert!(form(text), "{at}: {text}");
            }
            for text in bad {
                assert!(!form(text), "{at}: {text}");
            }
        }
    }
}
