//! Schedules as Cloudflare writes them: a week begins with Sunday as day 1, where it is 0 elsewhere.

/// The same schedule with Sunday as day 0, or what it needs that there is not.
pub(super) fn translate(text: &str) -> Result<String, &'static str> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, week] = fields[..] else { return Err("it has not five fields") };
    if fields.iter().any(|field| field.contains(['L', 'l', 'W', 'w', '#', '?']) && !is_name(field)) {
        return Err("`L`, `W`, `#` and `?` are not understood");
    }
    let week = if week.contains('/') && !week.starts_with('*') {
        let (days, step) = week.split_once('/').unwrap_or((week, ""));
        format!("{}/{step}", shift(days)?)
    } else if week.contains('/') {
        week.to_owned()
    } else {
        shift(week)?
    };
    Ok([minute, hour, day, month, &week].join(" ").to_ascii_lowercase())
}

/// Names of days and months have those letters too.
fn is_name(field: &str) -> bool {
    const NAMES: [&str; 19] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "sun", "mon",
        "tue", "wed", "thu", "fri", "sat",
    ];
    field.split([',', '-', '/']).all(|part| {
        part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'*')
            || NAMES.contains(&&*part.to_ascii_lowercase())
    })
}

fn shift(field: &str) -> Result<String, &'static str> {
    let day = |text: &str| match text.parse::<u32>() {
        Ok(day @ 1..=7) => Ok((day - 1).to_string()),
        Ok(_) => Err("a day of the week is 1 to 7"),
        Err(_) => Ok(text.to_owned()),
    };
    let range = |text: &str| match text.split_once('-') {
        Some((from, to)) => Ok(format!("{}-{}", day(from)?, day(to)?)),
        None => day(text),
    };
    Ok(field.split(',').map(range).collect::<Result<Vec<_>, _>>()?.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_move_and_nothing_else_does() {
        for (text, expect) in [
            ("0 17 * * 1", Ok("0 17 * * 0")),
            ("0 17 * * sun", Ok("0 17 * * sun")),
            ("*/5 * * * *", Ok("*/5 * * * *")),
            ("0 0 1 JAN,jul MON-FRI", Ok("0 0 1 jan,jul mon-fri")),
            ("0 0 * * 2-6", Ok("0 0 * * 1-5")),
            ("0 0 * * 2-6/2", Ok("0 0 * * 1-5/2")),
            ("0 0 * * 1,7", Ok("0 0 * * 0,6")),
            ("0 0 * * */2", Ok("0 0 * * */2")),
            ("0 0 * * 0", Err("a day of the week is 1 to 7")),
            ("0 0 L * *", Err("`L`, `W`, `#` and `?` are not understood")),
            ("0 0 * * 6#2", Err("`L`, `W`, `#` and `?` are not understood")),
            ("0 0 * *", Err("it has not five fields")),
        ] {
            assert_eq!(translate(text).as_deref(), expect.as_deref(), "{text}");
        }
    }
}
