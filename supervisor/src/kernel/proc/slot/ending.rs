//! The end of a worker, and the place of a failure, in words for the owner.

use super::super::launcher::Exit;
use super::super::link::End;

/// Signal of a forbidden system call, on every Linux that Fazt runs on but MIPS.
pub(super) const SIGSYS: i32 = 31;

pub(super) fn describe(end: &End, exit: Option<Exit>) -> String {
    let how = match exit {
        Some(Exit { oom: true, .. }) => "killed by the kernel for memory".to_owned(),
        Some(Exit { signal: SIGSYS, .. }) => "killed for a system call that no app needs".to_owned(),
        Some(Exit { signal: 0, code, .. }) => format!("exit code {code}"),
        Some(Exit { signal, .. }) => format!("signal {signal}"),
        None => "the launcher did not say how".to_owned(),
    };
    match end {
        End::Closed => how,
        End::Violation(error) => format!("killed for what it sent: {error}"),
        End::Deadline(what) => format!("killed: {what}"),
        End::Torn => "recycled after it ran out of CPU time or memory".to_owned(),
        End::LoadFailed => "the app did not load".to_owned(),
        End::Ordered => "as ordered".to_owned(),
    }
}

/// `file:line` of the first frame of a stack that is the app's own.
pub(super) fn first_place(text: &str) -> String {
    let place = |line: &str| {
        let line = line.trim().strip_prefix("at ")?;
        let inside = line.rsplit_once('(').map_or(line, |(_, place)| place.trim_end_matches(')'));
        let (rest, column) = inside.rsplit_once(':')?;
        let (file, row) = rest.rsplit_once(':')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (digits(column) && digits(row)).then(|| format!("{file}:{row}"))
    };
    text.lines().find_map(place).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_of_a_stack_is_the_apps_own_line() {
        for (text, place) in [
            ("Error: x\n    at f (lib/a.js:3:7)\n    at server.js:9:1", "lib/a.js:3"),
            ("Error: x\n    at server.js:9:1", "server.js:9"),
            ("Error: x\n    at native\n    at <anonymous> (server.js:2:5)", "server.js:2"),
            ("Error: no stack", ""),
            ("at :::", ""),
        ] {
            assert_eq!(first_place(text), place, "{text}");
        }
    }
}
