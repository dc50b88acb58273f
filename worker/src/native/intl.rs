//! Time zones for `Intl`: the whole list of IANA, from inside the program. No file is opened for it.

use std::cell::OnceCell;

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use rquickjs::{Ctx, Function, Object, Result};

/// Longest name that is looked up; the longest of the list has 32 letters.
const NAME_BYTES_MAX: usize = 64;

thread_local! {
    static ZONES: OnceCell<TimeZoneDatabase> = const { OnceCell::new() };
}

pub(crate) fn init<'js>(ctx: &Ctx<'js>, natives: &Object<'js>) -> Result<()> {
    natives.set("zone", Function::new(ctx.clone(), zone)?)?;
    natives.set("offset", Function::new(ctx.clone(), offset)?)
}

/// How a zone is spelled; empty: there is none of that name.
fn zone(name: String) -> String {
    match name.to_ascii_uppercase().as_str() {
        "UTC" | "GMT" | "ETC/UTC" | "ETC/GMT" | "ETC/ZULU" | "ZULU" | "ETC/UCT" | "UCT" => return "UTC".into(),
        _ => {}
    }
    match find(&name) {
        Some(zone) => zone.iana_name().map_or(name, str::to_owned),
        None => String::new(),
    }
}

/// Seconds that a zone is ahead of UTC at a time in milliseconds since 1970.
fn offset(name: String, unix_ms: f64) -> i32 {
    let (least, most) = (Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    let at = Timestamp::from_millisecond((unix_ms as i64).clamp(least, most));
    match (find(&name), at) {
        (Some(zone), Ok(at)) => zone.to_offset(at).seconds(),
        _ => 0,
    }
}

fn find(name: &str) -> Option<TimeZone> {
    if name.len() > NAME_BYTES_MAX {
        return None;
    }
    if name.starts_with(['+', '-']) {
        return fixed(name).map(TimeZone::fixed);
    }
    ZONES.with(|zones| zones.get_or_init(TimeZoneDatabase::bundled).get(name).ok())
}

/// `+05:30`, `-08`, `+0100`.
fn fixed(text: &str) -> Option<Offset> {
    let digits: String = text[1..].chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i32 = digits[..2].parse().ok().filter(|hours| *hours < 24)?;
    let minutes: i32 = digits.get(2..4).unwrap_or("00").parse().ok().filter(|minutes| *minutes < 60)?;
    let seconds = (hours * 60 + minutes) * 60;
    Offset::from_seconds(if text.starts_with('-') { -seconds } else { seconds }).ok()
}
