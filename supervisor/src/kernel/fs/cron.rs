//! When a schedule of five fields comes next, in the time of its zone.
//!
//! The manifest is checked with it, and the scheduler asks it. It knows no clock. Text comes from apps: `manifest/form.rs`
//! has seen its form, and what it still cannot mean never comes.
//!
//! What a change of the clocks does depends on the field of hours:
//!
//! | hours | clocks go forward, over it | clocks go back, through it again |
//! |---|---|---|
//! | named (`30 2 * * *`) | once, when they have gone forward | once, the first time |
//! | `*` or `*/n` | not in the hour that is not there | as often as the clock shows it |

use std::sync::OnceLock;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp, ToSpan as _};

/// Clocks are changed by less than this, but for islands that changed sides of the date line.
const CHANGE: i64 = 3;
/// A leap day that misses a century comes again in eight years; what does not come in so many never does.
const YEARS_MAX: i16 = 12;

/// A schedule in a zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both days are named: either will do.
    either_day: bool,
    /// Hours are not named: it goes by the clock as it runs.
    every_hour: bool,
    zone: TimeZone,
}

/// Why there is no schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Not the form of five fields.
    #[error("not five fields: minute, hour, day of month, month, day of week, such as `0 8 * * *`")]
    Form,
    /// No such zone.
    #[error("not a time zone of the IANA database, such as `Europe/Berlin` or `UTC`")]
    Zone,
}

/// The zones that are in the program; nothing is read from the machine.
fn zones() -> &'static TimeZoneDatabase {
    static ZONES: OnceLock<TimeZoneDatabase> = OnceLock::new();
    ZONES.get_or_init(TimeZoneDatabase::bundled)
}

impl Schedule {
    /// Reads the five fields and the name of the zone.
    ///
    /// # Errors
    /// When one of them is not what it should be.
    pub fn parse(schedule: &str, zone: &str) -> Result<Self, CronError> {
        let zone = match zone {
            "UTC" | "Etc/UTC" => TimeZone::UTC,
            name => zones().get(name).map_err(|_| CronError::Zone)?,
        };
        let fields: Vec<&str> = schedule.split(' ').collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else { return Err(CronError::Form) };
        let field = |text, place| set(text, place).ok_or(CronError::Form);
        let weekday_set = field(weekdays, Place::Weekday)?;
        Ok(Self {
            minutes: field(minutes, Place::Minute)?,
            hours: field(hours, Place::Hour)?,
            days: field(days, Place::Day)?,
            months: field(months, Place::Month)?,
            // Sunday is 0 and 7.
            weekdays: (weekday_set | (weekday_set >> 7)) & 0x7f,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
            every_hour: hours.starts_with('*'),
            zone,
        })
    }

    /// The first time after this one, both in milliseconds since 1970; none: it never comes.
    #[must_use]
    pub fn after(&self, unix_ms: u64) -> Option<u64> {
        let now = Timestamp::from_millisecond(i64::try_from(unix_ms).ok()?).ok()?;
        let here = self.zone.to_datetime(now);
        let mut at =
            here.checked_sub(CHANGE.hours()).ok()?.with().second(0).subsec_nanosecond(0).build().ok()?;
        let last_year = here.year().checked_add(YEARS_MAX)?;
        let mut best: Option<Timestamp> = None;
        while let Some(civil) = self.civil(at, last_year) {
            for moment in self.moments(civil).into_iter().flatten().filter(|moment| *moment > now) {
                best = Some(best.map_or(moment, |best| best.min(moment)));
            }
            // A later time of day comes earlier only within one change of the clocks.
            let enough = |best: Timestamp| {
                self.zone.to_datetime(best).checked_add(CHANGE.hours()).is_ok_and(|until| civil >= until)
            };
            if best.is_some_and(|best| !self.every_hour || enough(best)) {
                break;
            }
            at = civil.checked_add(Span::new().minutes(1)).ok()?;
        }
        u64::try_from(best?.as_millisecond()).ok()
    }

    /// The first time of day from `at` on that the fields name.
    fn civil(&self, at: DateTime, last_year: i16) -> Option<DateTime> {
        let (mut date, mut from) = (at.date(), at.time());
        while date.year() <= last_year {
            if !has(self.months, date.month()) {
                date = date.last_of_month().tomorrow().ok()?;
                from = Time::midnight();
                continue;
            }
            if self.on(date)
                && let Some(time) = self.time(from)
            {
                return Some(date.to_datetime(time));
            }
            date = date.tomorrow().ok()?;
            from = Time::midnight();
        }
        None
    }

    fn on(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        if self.either_day { day || weekday } else { day && weekday }
    }

    fn time(&self, from: Time) -> Option<Time> {
        (from.hour()..24).filter(|hour| has(self.hours, *hour)).find_map(|hour| {
            let first = if hour == from.hour() { from.minute() } else { 0 };
            let minute = (first..60).find(|minute| has(self.minutes, *minute))?;
            Time::new(hour, minute, 0, 0).ok()
        })
    }

    /// The moments at which the clock of the zone shows this; where it never does, when it has gone past.
    fn moments(&self, civil: DateTime) -> [Option<Timestamp>; 2] {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(civil).ok(), None],
            AmbiguousOffset::Fold { before, after } => {
                let first = before.to_timestamp(civil).ok();
                [first, after.to_timestamp(civil).ok().filter(|_| self.every_hour)]
            }
            AmbiguousOffset::Gap { .. } if self.every_hour => [None, None],
            AmbiguousOffset::Gap { before, .. } => {
                let past = before.to_timestamp(civil).ok().and_then(|past| past.checked_add(1.second()).ok());
                [
                    past.and_then(|past| self.zone.preceding(past).next()).map(|change| change.timestamp()),
                    None,
                ]
            }
        }
    }
}

fn has(set: u64, value: i8) -> bool {
    u32::try_from(value).is_ok_and(|value| set >> value & 1 == 1)
}

/// Which of the five fields.
#[derive(Clone, Copy)]
enum Place {
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

impl Place {
    /// Least value, greatest value, names from the least on.
    const fn bounds(self) -> (u32, u32, &'static [&'static str]) {
        const MONTHS: &[&str] =
            &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
        const WEEKDAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
        match self {
            Self::Minute => (0, 59, &[]),
            Self::Hour => (0, 23, &[]),
            Self::Day => (1, 31, &[]),
            Self::Month => (1, 12, MONTHS),
            Self::Weekday => (0, 7, WEEKDAYS),
        }
    }
}

/// The values that a field names, as bits; none: it is not of the form.
fn set(field: &str, place: Place) -> Option<u64> {
    let (min, max, names) = place.bounds();
    let value = |text: &str| -> Option<u32> {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits {
            text.parse().ok()
        } else {
            let lower = text.to_ascii_lowercase();
            names
                .iter()
                .position(|name| *name == lower)
                .and_then(|at| u32::try_from(at).ok())
                .map(|at| at + min)
        };
        number.filter(|number| (min..=max).contains(number))
    };
    let mut all = 0;
    for item in field.split(',') {
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let step = match step {
            None => 1,
            Some(text) if text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse::<u32>().ok().filter(|step| (1..=max).contains(step))?
            }
            Some(_) => return None,
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (min, if matches!(place, Place::Weekday) { 6 } else { max }),
            Some((from, to)) => (value(from)?, value(to)?),
            None if item == range => (value(range)?, value(range)?),
            None => return None,
        };
        if from > to {
            return None;
        }
        for value in (from..=to).step_by(usize::try_from(step).ok()?) {
            all |= 1 << value;
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> u64 {
        let at: Timestamp = text.parse().expect("a time");
        u64::try_from(at.as_millisecond()).expect("after 1970")
    }

    fn times(schedule: &str, zone: &str, from: &str, number: usize) -> Vec<String> {
        let schedule = Schedule::parse(schedule, zone).expect("a schedule");
        let mut at = ms(from);
        let mut found = Vec::new();
        for _ in 0..number {
            let Some(next) = schedule.after(at) else { break };
            assert!(next > at, "time goes forward");
            at = next;
            found.push(
                Timestamp::from_millisecond(i64::try_from(at).expect("small")).expect("a time").to_string(),
            );
        }
        found
    }

    #[test]
    fn the_table_of_schedules() {
        for (schedule, zone, from, expect) in [
            (
                "0 8 * * *",
                "UTC",
                "2026-11-21T08:00:00Z",
                vec!["2026-11-22T08:00:00Z", "2026-11-23T08:00:00Z"],
            ),
            ("0 8 * * *", "Europe/Berlin", "2026-11-21T00:00:00Z", vec!["2026-11-21T07:00:00Z"]),
            (
                "*/20 * * * *",
                "UTC",
                "2026-11-21T23:39:59.999Z",
                vec!["2026-11-21T23:40:00Z", "2026-11-22T00:00:00Z"],
            ),
            (
                "5-59/30 9 * * mon-fri",
                "UTC",
                "2026-11-21T00:00:00Z",
                vec!["2026-11-23T09:05:00Z", "2026-11-23T09:35:00Z", "2026-11-24T09:05:00Z"],
            ),
            (
                "0 0 29 2 *",
                "UTC",
                "2026-01-01T00:00:00Z",
                vec!["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"],
            ),
            ("0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", vec!["2104-02-29T00:00:00Z"]),
            ("0 0 31 2 *", "UTC", "2026-01-01T00:00:00Z", vec![]),
            // Either of two days that are both named.
            (
                "0 0 13 * 5",
                "UTC",
                "2026-11-01T00:00:00Z",
                vec!["2026-11-06T00:00:00Z", "2026-11-13T00:00:00Z", "2026-11-20T00:00:00Z"],
            ),
            (
                "0 0 * * 7",
                "UTC",
                "2026-11-21T00:00:00Z",
                vec!["2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z"],
            ),
            (
                "0 0 1 jan,JUL *",
                "UTC",
                "2026-11-21T00:00:00Z",
                vec!["2027-01-01T00:00:00Z", "2027-07-01T00:00:00Z"],
            ),
            ("30 23 31 12 *", "Pacific/Auckland", "2026-01-01T00:00:00Z", vec!["2026-12-31T10:30:00Z"]),
        ] {
            assert_eq!(times(schedule, zone, from, expect.len().max(1)), expect, "{schedule} {zone} {from}");
        }
    }

    /// Berlin: 2026-03-29 01:00 UTC from 2 to 3 o'clock, 2026-10-25 01:00 UTC from 3 to 2 o'clock.
    #[test]
    fn the_table_of_changes_of_the_clocks() {
        let berlin = "Europe/Berlin";
        for (schedule, zone, from, expect) in [
            // Over it: once, when the clocks have gone forward.
            (
                "30 2 * * *",
                berlin,
                "2026-03-28T02:00:00Z",
                vec!["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
            ),
            (
                "*/10 2 * * *",
                berlin,
                "2026-03-29T00:00:00Z",
                vec!["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
            ),
            (
                "0 3 * * *",
                berlin,
                "2026-03-28T12:00:00Z",
                vec!["2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"],
            ),
            // Two named times that fall together are one.
            (
                "0 2,3 * * *",
                berlin,
                "2026-03-29T00:00:00Z",
                vec!["2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"],
            ),
            (
                "30 * * * *",
                berlin,
                "2026-03-28T23:45:00Z",
                vec!["2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"],
            ),
            (
                "*/30 */2 * * *",
                berlin,
                "2026-03-28T23:45:00Z",
                vec!["2026-03-29T02:00:00Z", "2026-03-29T02:30:00Z"],
            ),
            // Through it again: a named hour comes once.
            (
                "30 2 * * *",
                berlin,
                "2026-10-24T12:00:00Z",
                vec!["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            ("30 2 * * *", berlin, "2026-10-25T00:45:00Z", vec!["2026-10-26T01:30:00Z"]),
            ("0 3 * * *", berlin, "2026-10-25T00:00:00Z", vec!["2026-10-25T02:00:00Z"]),
            (
                "30 * * * *",
                berlin,
                "2026-10-25T00:00:00Z",
                vec!["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"],
            ),
            (
                "*/30 2 * * *",
                berlin,
                "2026-10-25T00:10:00Z",
                vec!["2026-10-25T00:30:00Z", "2026-10-26T01:00:00Z"],
            ),
            (
                "*/20 * * * *",
                berlin,
                "2026-10-25T00:30:00Z",
                vec!["2026-10-25T00:40:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:20:00Z"],
            ),
            // New York: 2026-03-08 and 2026-11-01. Half an hour on Lord Howe, from 2:00 to 2:30 and back.
            (
                "30 2 * * *",
                "America/New_York",
                "2026-03-08T00:00:00Z",
                vec!["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"],
            ),
            (
                "15 1 * * *",
                "America/New_York",
                "2026-11-01T00:00:00Z",
                vec!["2026-11-01T05:15:00Z", "2026-11-02T06:15:00Z"],
            ),
            (
                "15 2 * * *",
                "Australia/Lord_Howe",
                "2026-10-03T12:00:00Z",
                vec!["2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"],
            ),
            // Midnight that is not there.
            (
                "0 0 * * *",
                "Africa/Cairo",
                "2026-04-23T12:00:00Z",
                vec!["2026-04-23T22:00:00Z", "2026-04-24T21:00:00Z"],
            ),
            // No changes.
            ("0 12 * * *", "Asia/Kolkata", "2026-03-29T00:00:00Z", vec!["2026-03-29T06:30:00Z"]),
        ] {
            assert_eq!(times(schedule, zone, from, expect.len()), expect, "{schedule} {zone} {from}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for (schedule, zone, error) in [
            ("0 8 * *", "UTC", CronError::Form),
            ("60 * * * *", "UTC", CronError::Form),
            ("*/0 * * * *", "UTC", CronError::Form),
            ("+5 * * * *", "UTC", CronError::Form),
            ("*/+5 * * * *", "UTC", CronError::Form),
            ("5/2 * * * *", "UTC", CronError::Form),
            ("* * 0 * *", "UTC", CronError::Form),
            ("0 8 * * *", "Europe/Atlantis", CronError::Zone),
            ("0 8 * * *", "../etc/localtime", CronError::Zone),
            ("0 8 * * *", "", CronError::Zone),
        ] {
            assert_eq!(Schedule::parse(schedule, zone).map(drop), Err(error), "{schedule} {zone}");
        }
    }

    /// The same by brute force: every minute of two days around each change is asked what its clock shows.
    #[test]
    fn every_hour_goes_by_the_clock_minute_by_minute() {
        for (zone, around) in [
            ("Europe/Berlin", "2026-03-28T12:00:00Z"),
            ("Europe/Berlin", "2026-10-24T12:00:00Z"),
            ("Australia/Lord_Howe", "2026-04-04T03:00:00Z"),
            ("America/St_Johns", "2026-11-01T00:00:00Z"),
        ] {
            let tz = zones().get(zone).expect("a zone");
            let schedule = Schedule::parse("7,40 * * * *", zone).expect("a schedule");
            let (from, to) = (ms(around), ms(around) + 36 * 3_600_000);
            let shown = (from / 60_000 + 1..=to / 60_000).map(|minute| minute * 60_000).filter(|at| {
                let at = Timestamp::from_millisecond(i64::try_from(*at).expect("small")).expect("a time");
                matches!(tz.to_datetime(at).minute(), 7 | 40)
            });
            let mut found = Vec::new();
            let mut at = from;
            while let Some(next) = schedule.after(at).filter(|next| *next <= to) {
                found.push(next);
                at = next;
            }
            assert_eq!(found, shown.collect::<Vec<_>>(), "{zone} {around}");
        }
    }
}
