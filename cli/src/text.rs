//! Values as people read them, and foreign text made harmless.
//!
//! App names, log lines, manifest texts and file names come from strangers' apps: printed as they are, an
//! escape sequence in them would drive the terminal, and a direction mark would turn a line around. All of it
//! goes through [`clean`] or [`clean_lines`] before it is printed for people.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Characters that move the cursor, start a sequence, or reorder what stands beside them.
fn drives_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{2028}' | '\u{2029}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let bad = |c: char| drives_terminal(c) && !keep(c);
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            c if !bad(c) => out.push(c),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
        }
    }
    Cow::Owned(out)
}

/// One line of foreign text.
pub(crate) fn clean(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Foreign text that may have several lines.
pub(crate) fn clean_lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n' || c == '\t')
}

/// A JSON document, in which what drives a terminal stands in strings only: it is written as `\u009b`, which means the
/// same. JSON itself escapes only the lowest of them.
pub(crate) fn clean_json(text: &str) -> Cow<'_, str> {
    let bad = |c: char| drives_terminal(c) && c != '\n';
    if !text.contains(bad) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match bad(c) {
            // None of them needs two units of UTF-16.
            true => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            false => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// `1.4 MB`, in steps of 1,024.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ if value < 9.95 => format!("{value:.1} {}", UNITS[unit]),
        _ => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// `850 ms`, `4.2 s`, `3 min`, `5 h`, `12 d`.
pub(crate) fn span(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..10_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        10_000..120_000 => format!("{} s", ms / 1_000),
        120_000..7_200_000 => format!("{} min", ms / 60_000),
        7_200_000..172_800_000 => format!("{} h", ms / 3_600_000),
        _ => format!("{} d", ms / 86_400_000),
    }
}

/// `3 min ago`.
pub(crate) fn ago(then_ms: u64, now_ms: u64) -> String {
    format!("{} ago", span(now_ms.saturating_sub(then_ms)))
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// `2026-11-20T08:30:00.250Z`.
pub(crate) fn timestamp(unix_ms: u64) -> String {
    let (days, ms) = (unix_ms / 86_400_000, unix_ms % 86_400_000);
    // Days to a date of the Gregorian calendar, in years that begin in March so that the leap day is last.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

/// Reads `10m`, `2h`, `3d`, `45s` as the time that long before `now_ms`, or `2026-11-20`,
/// `2026-11-20T08:30[:00][Z]` as a time in UTC. In milliseconds since 1970.
pub(crate) fn since(text: &str, now_ms: u64) -> Option<u64> {
    if let Some(unit) = text.chars().last().filter(char::is_ascii_lowercase) {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        let unit_ms = match unit {
            's' => 1_000,
            'm' => 60_000,
            'h' => 3_600_000,
            'd' => 86_400_000,
            _ => return None,
        };
        return Some(now_ms.saturating_sub(number.checked_mul(unit_ms)?));
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let numbers =
        |text: &str, by: char| -> Option<Vec<u64>> { text.split(by).map(|part| part.parse().ok()).collect() };
    let (date, time) = (numbers(date, '-')?, numbers(time, ':')?);
    let [year, month @ 1..=12, day @ 1..=31] = date[..] else { return None };
    let (hour, minute, second) = match time[..] {
        [hour @ 0..=23, minute @ 0..=59] => (hour, minute, 0),
        [hour @ 0..=23, minute @ 0..=59, second @ 0..=60] => (hour, minute, second),
        _ => return None,
    };
    if !(1970..10_000).contains(&year) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let days = (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60_000 + second * 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_drive_the_terminal() {
        for (input, expect) in [
            ("plain – text", "plain – text"),
            ("\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}"),
            ("a\rb\nc\td", "a\\rb\\nc\\td"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("abc\u{202e}fdp", "abc\\u{202e}fdp"),
        ] {
            assert_eq!(clean(input), expect);
        }
        assert_eq!(clean_lines("a\n\tb\x1b[2J\r"), "a\n\tb\\u{1b}[2J\\r");
        let json = serde_json::to_string_pretty(&["\u{9b}31m\u{202e}\x1b\n"]).expect("JSON");
        assert_eq!(clean_json(&json), "[\n  \"\\u009b31m\\u202e\\u001b\\n\"\n]");
    }

    #[test]
    fn sizes_and_spans_read_well() {
        for (input, expect) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KB"),
            (10_240, "10 KB"),
            (1_048_575, "1.0 MB"),
            (40 << 20, "40 MB"),
        ] {
            assert_eq!(bytes(input), expect);
        }
        for (input, expect) in
            [(7, "7 ms"), (4_250, "4.2 s"), (61_000, "61 s"), (180_000, "3 min"), (1 << 40, "12725 d")]
        {
            assert_eq!(span(input), expect);
        }
    }

    #[test]
    fn times_survive_both_ways() {
        for (unix_ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_163_400_250, "2026-11-20T08:30:00.250Z"),
        ] {
            assert_eq!(timestamp(unix_ms), text);
            assert_eq!(since(&text[..19], 0), Some(unix_ms - unix_ms % 1000), "{text}");
        }
        assert_eq!(since("2026-11-20", 0), Some(1_795_132_800_000));
        assert_eq!(since("10m", 1_000_000), Some(400_000));
        for wrong in ["", "m", "10", "10w", "-5m", "2026-13-01", "2026-11-20T25:00", "yesterday", "1é"] {
            assert_eq!(since(wrong, 0), None, "{wrong}");
        }
    }
}
