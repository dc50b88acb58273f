//! `fazt proc status`, `ps`, `top`, `doctor`, `config`.

use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use fazt_ipc::control::{Doctor, EgressState, Process, ProcessKind, State, Status};
use fazt_supervisor::config::Config;

use crate::client::Client;
use crate::error::{Done, invalid};
use crate::output::{Colour, Out};
use crate::table::Table;
use crate::text;

const EVERY: Duration = Duration::from_secs(1);
/// Cursor to the top left, screen cleared.
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// Prints names and values in two columns. Values are foreign text.
pub(crate) fn facts(out: Out, rows: Vec<(&str, String)>) {
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, value) in rows {
        out.line(format!("{}  {}", out.paint(Colour::Dim, &format!("{name:<width$}")), text::clean(&value)));
    }
}

/// The word for a state.
pub(crate) const fn word(state: State) -> &'static str {
    match state {
        State::Hibernated => "hibernated",
        State::Starting => "starting",
        State::Running => "running",
        State::Idle => "idle",
        State::Backoff => "backoff",
        State::Quarantined => "quarantined",
    }
}

pub(super) async fn status(client: &Client, out: Out) -> Done {
    let status: Status = client.get("/api/status").await?;
    out.show(&status, |status| {
        for line in banner(status) {
            out.line(out.paint(Colour::Yellow, &line));
        }
        let workers: Vec<_> =
            status.workers.iter().map(|(state, count)| format!("{count} {}", word(*state))).collect();
        let workers = if workers.is_empty() { "none".to_owned() } else { workers.join(", ") };
        facts(
            out,
            vec![
                ("url", status.url.clone()),
                ("listening on", status.listen.join(", ")),
                ("version", status.version.clone()),
                ("process", status.pid.to_string()),
                ("up for", text::span(status.uptime_s.saturating_mul(1_000))),
                ("data", status.data.clone()),
                ("apps", status.apps.to_string()),
                ("workers", workers),
                ("warm pool", status.pool.to_string()),
                (
                    "memory",
                    format!(
                        "{} of {}",
                        text::bytes(status.workers_bytes),
                        text::bytes(status.workers_bytes_max)
                    ),
                ),
                ("requests", status.requests.to_string()),
                ("egress", egress(&status.egress)),
            ],
        );
        for app in &status.troubled {
            let line = format!("{} is in {}: {}", app.app, word(app.state), app.reason);
            out.line(out.paint(Colour::Red, &text::clean(&line)));
        }
    })
}

fn banner(status: &Status) -> Vec<String> {
    let mut lines = Vec::new();
    if !status.missing_layers.is_empty() {
        let layers = text::clean(&status.missing_layers.join(", ")).into_owned();
        lines.push(format!("This machine lacks layers of the sandbox: {layers}."));
        lines.push("Run only apps that you wrote yourself. `fazt proc doctor` says what to do.".to_owned());
    }
    if status.egress.test_network {
        lines.push("The test network is open: requests of apps may reach this machine itself.".to_owned());
        lines.push(
            "Never on a server that others use: remove egress.test_network from config.toml.".to_owned(),
        );
    }
    lines
}

/// The process that opens connections to elsewhere.
fn egress(state: &EgressState) -> String {
    let now = match state.pid {
        Some(pid) => format!("process {pid}"),
        None => "no process: nothing goes out now".to_owned(),
    };
    match state.failures {
        0 => now,
        times => format!("{now}; ended by itself {times} times, last: {}", state.last_failure),
    }
}

/// The word for what a process is for.
const fn kind(kind: ProcessKind) -> &'static str {
    match kind {
        ProcessKind::Worker => "worker",
        ProcessKind::Sql => "sql",
        ProcessKind::SqlRead => "sql-read",
    }
}

/// The columns are fixed: scripts read them.
fn table(processes: &[Process]) -> Table {
    let mut table = Table::new(&[
        "APP",
        "PRINCIPAL",
        "STATE",
        ">PID",
        ">GEN",
        ">MEM",
        ">CAP",
        ">CPU",
        ">REQS",
        ">IDLE",
        "KIND",
    ]);
    let number = |number: Option<String>| number.unwrap_or_else(|| "-".to_owned());
    for process in processes {
        let lives = process.pid.is_some();
        let if_lives = |text: String| if lives { text } else { "-".to_owned() };
        table.row([
            process.app.clone(),
            process.principal.clone(),
            word(process.state).to_owned(),
            number(process.pid.map(|pid| pid.to_string())),
            number(process.generation.map(|generation| generation.to_string())),
            if_lives(text::bytes(process.mem_bytes)),
            if_lives(text::bytes(process.cap_bytes)),
            if_lives(text::span(process.cpu_ms)),
            if_lives(process.reqs.to_string()),
            if_lives(text::span(process.idle_ms)),
            kind(process.kind).to_owned(),
        ]);
    }
    table
}

pub(super) async fn ps(client: &Client, watch: bool, out: Out) -> Done {
    loop {
        let processes: Vec<Process> = client.get("/api/processes").await?;
        if watch && out.terminal && !out.json {
            out.raw(CLEAR);
        }
        if watch && out.json {
            out.document_line(&processes)?;
        } else {
            out.show(&processes, |processes| out.table(&table(processes)))?;
        }
        if !watch {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Share of one CPU that each process used between two looks, busiest first.
fn busiest(before: &HashMap<u64, u64>, now: Vec<Process>, passed: Duration) -> Vec<(Process, f64)> {
    let ms = passed.as_secs_f64() * 1_000.0;
    let share = |process: &Process| {
        let generation = process.generation?;
        let used = process.cpu_ms.saturating_sub(before.get(&generation).copied().unwrap_or(process.cpu_ms));
        Some(used as f64 * 100.0 / ms.max(1.0))
    };
    let mut rows: Vec<_> = now
        .into_iter()
        .filter(|process| process.pid.is_some())
        .map(|process| {
            let share = share(&process).unwrap_or(0.0);
            (process, share)
        })
        .collect();
    rows.sort_by(|(a, x), (b, y)| y.total_cmp(x).then(b.mem_bytes.cmp(&a.mem_bytes)).then(a.app.cmp(&b.app)));
    rows
}

pub(super) async fn top(client: &Client, out: Out) -> Done {
    let mut before = HashMap::new();
    let mut then = Instant::now();
    loop {
        let processes: Vec<Process> = client.get("/api/processes").await?;
        let cpu: HashMap<u64, u64> =
            processes.iter().filter_map(|process| Some((process.generation?, process.cpu_ms))).collect();
        let rows = busiest(&before, processes, then.elapsed());
        (before, then) = (cpu, Instant::now());
        if out.json {
            return out.document(&rows.into_iter().map(|(process, _)| process).collect::<Vec<_>>());
        }
        let memory: u64 = rows.iter().map(|(process, _)| process.mem_bytes).sum();
        let mut table =
            Table::new(&["APP", "PRINCIPAL", "STATE", ">PID", ">%CPU", ">MEM", ">CPU", ">REQS", "KIND"]);
        for (process, share) in &rows {
            table.row([
                process.app.clone(),
                process.principal.clone(),
                word(process.state).to_owned(),
                process.pid.unwrap_or(0).to_string(),
                format!("{share:.0}"),
                text::bytes(process.mem_bytes),
                text::span(process.cpu_ms),
                process.reqs.to_string(),
                kind(process.kind).to_owned(),
            ]);
        }
        if out.terminal {
            out.raw(CLEAR);
        }
        let sql = rows.iter().filter(|(process, _)| process.kind != ProcessKind::Worker).count();
        let workers = text::count((rows.len() - sql) as u64, "worker");
        out.line(format!("{workers}, {sql} of raw SQL, {}", text::bytes(memory)));
        out.table(&table);
        if !out.terminal {
            return Ok(());
        }
        tokio::time::sleep(EVERY).await;
    }
}

pub(super) async fn doctor(client: &Client, out: Out) -> Done<ExitCode> {
    client.only_here("fazt proc doctor")?;
    out.note("Trying escapes in a real worker …");
    let doctor: Doctor = client.get("/api/doctor").await?;
    let healthy = doctor.healthy;
    out.show(&doctor, |doctor| {
        let mark = |good: bool| {
            if good { out.paint(Colour::Green, "ok  ") } else { out.paint(Colour::Red, "FAIL") }
        };
        out.line(out.paint(Colour::Bold, "Layers"));
        for layer in &doctor.layers {
            out.line(format!(
                "  {} {:<16} {}",
                mark(layer.present),
                text::clean(&layer.name),
                text::clean(&layer.detail)
            ));
            if !layer.present && !layer.fix.is_empty() {
                out.line(format!("       to do: {}", text::clean(&layer.fix)));
            }
        }
        let stopped = doctor.escapes.iter().filter(|escape| escape.stopped).count();
        let tried = text::count(doctor.escapes.len() as u64, "escape");
        out.line(out.paint(Colour::Bold, &format!("{tried} tried, {stopped} stopped")));
        let groups = |rows: Vec<(bool, &str, &str)>| {
            for (good, by, names) in grouped(rows) {
                out.line(format!("  {} {} ({})", mark(good), text::clean(by), names.len()));
                for line in wrapped(&names) {
                    out.line(format!("       {line}"));
                }
            }
        };
        groups(doctor.escapes.iter().map(|one| (one.stopped, &*one.by, &*one.name)).collect());
        let walls = || doctor.escapes.iter().filter_map(|one| Some((&*one.name, one.walls.as_ref()?)));
        if doctor.walls_untried.is_empty() {
            let stopped = walls().filter(|(_, walls)| walls.stopped).count();
            let tried = text::count(walls().count() as u64, "escape");
            out.line(out.paint(
                Colour::Bold,
                &format!("The same without seccomp: {tried} tried, {stopped} stopped by another layer"),
            ));
            groups(
                walls().filter(|(_, one)| one.stopped).map(|(name, one)| (true, &*one.by, name)).collect(),
            );
            let through = walls().filter(|(_, one)| !one.stopped);
            let (inside, outside): (Vec<_>, Vec<_>) = through.partition(|(_, one)| one.contained);
            groups(outside.into_iter().map(|(name, one)| (false, &*one.by, name)).collect());
            if !inside.is_empty() {
                out.line("  These only seccomp stops; they reach no file, network or other process, but get");
            }
            groups(inside.into_iter().map(|(name, one)| (true, &*one.by, name)).collect());
        } else {
            out.line(out.paint(Colour::Bold, "The same without seccomp: not tried"));
            out.line(format!("  {}", text::clean(&doctor.walls_untried)));
        }
        out.line(if healthy && doctor.escapes.is_empty() {
            out.paint(Colour::Yellow, "Every layer is there; no escape was tried.")
        } else if healthy {
            out.paint(Colour::Green, "Every layer is there and every escape was stopped.")
        } else {
            out.paint(Colour::Red, "Something is missing: see the lines marked FAIL.")
        });
    })?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Escapes by what stopped them: what got through first, then the most frequent.
fn grouped<'a>(rows: Vec<(bool, &'a str, &'a str)>) -> Vec<(bool, &'a str, Vec<&'a str>)> {
    let mut groups: Vec<(bool, &str, Vec<&str>)> = Vec::new();
    for (stopped, by, name) in rows {
        match groups.iter_mut().find(|group| (group.0, group.1) == (stopped, by)) {
            Some(group) => group.2.push(name),
            None => groups.push((stopped, by, vec![name])),
        }
    }
    groups.sort_by_key(|(stopped, _, names)| (*stopped, std::cmp::Reverse(names.len())));
    groups
}

/// Names with `;` between them, on lines that fit a terminal.
fn wrapped(names: &[&str]) -> Vec<String> {
    const COLUMNS: usize = 90;
    let mut lines = vec![String::new()];
    for (at, name) in names.iter().enumerate() {
        let word = format!("{}{}", text::clean(name), if at + 1 < names.len() { "; " } else { "" });
        match lines.last_mut() {
            Some(line) if line.is_empty() || line.len() + word.len() <= COLUMNS => line.push_str(&word),
            _ => lines.push(word),
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

pub(super) fn config(data: &Path, out: Out) -> Done {
    let config = Config::load(data).map_err(|error| {
        invalid(error.to_string(), "correct the file, or remove the line to have the default")
    })?;
    out.show(&config.explain(), |fields| {
        out.line(format!("{}", data.join("config.toml").display()));
        for field in fields {
            let unit = if field.unit.is_empty() { String::new() } else { format!("  ({})", field.unit) };
            out.line("");
            let value = format!("{} = {}", field.field, text::clean(&field.value));
            out.line(format!("{}{unit}", out.paint(Colour::Bold, &value)));
            if field.value != field.default {
                out.line(format!("  default: {}{unit}", field.default));
            }
            out.line(format!("  {}", field.reason));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(app: &str, pid: Option<u32>, cpu_ms: u64) -> Process {
        Process {
            app: app.into(),
            principal: "anonymous".into(),
            kind: ProcessKind::Worker,
            state: if pid.is_some() { State::Idle } else { State::Hibernated },
            pid,
            generation: pid.map(u64::from),
            mem_bytes: 1_500_000,
            cap_bytes: 40 << 20,
            cpu_ms,
            reqs: 12,
            idle_ms: 4_250,
        }
    }

    #[test]
    fn ps_has_its_fixed_columns() {
        let lines = table(&[process("notes", Some(4711), 35), process("x\x1b[2J", None, 0)]).lines();
        assert_eq!(
            lines,
            [
                "APP         PRINCIPAL  STATE        PID   GEN     MEM    CAP    CPU  REQS   IDLE  KIND",
                "notes       anonymous  idle        4711  4711  1.4 MB  40 MB  35 ms    12  4.2 s  worker",
                "x\\u{1b}[2J  anonymous  hibernated     -     -       -      -      -     -      -  worker",
            ]
        );
    }

    #[test]
    fn the_json_of_a_process_has_the_columns_in_lower_case_with_units() {
        let json = serde_json::to_value(process("notes", Some(7), 1)).expect("JSON");
        let mut keys: Vec<_> = json.as_object().expect("an object").keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "app",
                "cap_bytes",
                "cpu_ms",
                "gen",
                "idle_ms",
                "kind",
                "mem_bytes",
                "pid",
                "principal",
                "reqs",
                "state"
            ]
        );
    }

    #[test]
    fn escapes_are_grouped_by_what_stopped_them_and_what_got_through_comes_first() {
        let rows = vec![(true, "seccomp", "a"), (false, "nothing", "b"), (true, "seccomp", "c")];
        assert_eq!(grouped(rows), [(false, "nothing", vec!["b"]), (true, "seccomp", vec!["a", "c"])]);
        assert_eq!(wrapped(&["a", "c\u{1b}"]), ["a; c\\u{1b}"]);
        assert!(wrapped(&["a rather long name of an escape"; 9]).iter().all(|line| line.len() <= 90));
    }

    #[test]
    fn the_busiest_process_comes_first_and_the_dead_do_not_come_at_all() {
        let before = HashMap::from([(1, 100), (2, 100)]);
        let now =
            vec![process("calm", Some(1), 110), process("busy", Some(2), 600), process("gone", None, 0)];
        let rows = busiest(&before, now, Duration::from_secs(1));
        let rows: Vec<_> =
            rows.iter().map(|(process, share)| (&*process.app, share.round() as u64)).collect();
        assert_eq!(rows, [("busy", 50), ("calm", 1)]);
    }
}
