//! The end of a worker, and the place of a failure, in words for the owner.

use fazt_ipc::launch::{EXIT_MEMORY, EXIT_PANIC, EXIT_STACK};

use super::super::launcher::Exit;
use super::super::link::End;

/// Signal of a forbidden system call, on every Linux that Fazt runs on but MIPS.
pub(in crate::kernel::proc) const SIGSYS: i32 = 31;
/// Signal of the supervisor's own kill, and of the kernel's for memory.
const SIGKILL: i32 = 9;

/// Why a worker is gone. What the process itself died of says more than what it was to be ended for.
pub(super) fn describe(end: &End, exit: Option<Exit>) -> String {
    let death = exit.and_then(death);
    match (end, death) {
        (End::Violation(error), None) => format!("killed for what it sent: {error}"),
        (End::Violation(error), Some(death)) => format!("{death}; before that it sent nonsense: {error}"),
        (End::Deadline(what), _) => format!("killed: {what}"),
        (End::LoadFailed, _) => "the app did not load".to_owned(),
        (_, Some(death)) => death,
        (End::Torn, None) => "recycled after it ran out of CPU time or memory".to_owned(),
        (End::Ordered, None) => "ended as ordered".to_owned(),
        (End::Closed, None) => match exit {
            Some(Exit { signal: 0, .. }) => "it ended by itself, which no app can ask for".to_owned(),
            Some(_) => "killed from outside".to_owned(),
            None => "it is gone, and the launcher did not say how".to_owned(),
        },
    }
}

/// A death that was not ordered; none for a clean end and for the supervisor's own kill.
fn death(exit: Exit) -> Option<String> {
    Some(match exit {
        Exit { oom: true, .. } => {
            "killed by the kernel: the app's memory is full (limits.memoryMiB in app.json)".to_owned()
        }
        Exit { signal: SIGSYS, .. } => {
            "killed for a system call that no app can make by itself: its engine was taken over".to_owned()
        }
        Exit { signal: 0, code: 0, .. } | Exit { signal: SIGKILL, .. } => return None,
        Exit { signal: 0, code: EXIT_MEMORY, .. } => {
            "its memory outside the JavaScript heap is full (limits.memoryMiB in app.json)".to_owned()
        }
        Exit { signal: 0, code: EXIT_STACK, .. } => {
            "its stack is full: something in the app is nested too deeply".to_owned()
        }
        Exit { signal: 0, code: EXIT_PANIC, .. } => {
            "a fault in Fazt's own worker (exit code 101); please report it".to_owned()
        }
        Exit { signal: 0, code, .. } => format!("it ended with exit code {code}"),
        Exit { signal: 11, .. } => "it crashed (signal 11, a bad memory access)".to_owned(),
        Exit { signal: 6, .. } => "it gave up (signal 6, an abort)".to_owned(),
        Exit { signal, .. } => format!("it was ended by signal {signal}"),
    })
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

    #[test]
    fn a_death_is_told_by_what_the_process_died_of_whatever_it_was_to_be_ended_for() {
        let code = |code| Some(Exit { code, signal: 0, oom: false, cpu_us: 0 });
        let signal = |signal, oom| Some(Exit { code: -1, signal, oom, cpu_us: 0 });
        for end in [End::Closed, End::Torn, End::Ordered] {
            for (exit, part) in [
                (code(102), "memory"),
                (code(103), "nested too deeply"),
                (code(101), "Fazt's own"),
                (code(7), "exit code 7"),
                (signal(31, false), "system call"),
                (signal(11, false), "signal 11"),
                (signal(9, true), "limits.memoryMiB"),
            ] {
                let text = describe(&end, exit);
                assert!(text.contains(part) && !text.contains("ordered"), "{end:?} {exit:?}: {text}");
            }
        }
        assert_eq!(describe(&End::Ordered, signal(9, false)), "ended as ordered");
        assert_eq!(describe(&End::Closed, signal(9, false)), "killed from outside");
        let hostile = End::Violation(fazt_ipc::wire::WireError::Bound("status"));
        assert!(describe(&hostile, signal(9, false)).starts_with("killed for what it sent"));
        assert!(describe(&hostile, signal(31, false)).contains("system call"));
    }
}
