//! How long an install takes, from the command to the first answer, and where the time goes: as far as whoever watches
//! the command can tell. `FAZT_BIN` is what is measured; build it with `--release`.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use fazt_tests::{GitServer, Server, ServerOptions, fazt_command};

/// Installs of each kind; the middle one of their times is told.
const ROUNDS: usize = 7;
/// Bytes of one repository.
const REPOSITORY_BYTES: usize = 2 << 20;
/// What an app has to say.
const HELLO: &str = "hello";

/// When a line began with this, and what lies between it and the one before.
const STEPS: [(&str, &str); 4] = [
    ("asking", "the command starts, and reaches the server"),
    ("unpacking", "network: the commit is found and fetched"),
    ("bundling", "unpacked and looked at, in jails"),
    ("", "bundled if it is, stored, consented to, live"),
];

/// Measures; the table.
pub fn run() -> Result<String> {
    let mut out = String::new();
    let megabytes = REPOSITORY_BYTES as f64 / f64::from(1 << 20);
    let _ = writeln!(
        out,
        "| install of {megabytes:.0} MiB from a Git server on loopback, median of {ROUNDS} | as it is | bundled |\n|---|---|---|"
    );
    let (plain, bundled) = (rounds(false)?, rounds(true)?);
    let names =
        STEPS.iter().map(|step| step.1).chain(["the first answer, from a worker that wakes", "**in all**"]);
    for (at, name) in names.enumerate() {
        let _ = writeln!(out, "| {name} | {} ms | {} ms |", plain[at].as_millis(), bundled[at].as_millis());
    }
    Ok(out)
}

/// The middle of each step's times, the first answer, and the whole.
fn rounds(bundles: bool) -> Result<Vec<Duration>> {
    let mut all = Vec::new();
    for _ in 0..ROUNDS {
        all.push(once(bundles)?);
    }
    let columns = 0..all[0].len();
    let middle = |column: usize| {
        let mut times: Vec<Duration> = all.iter().map(|times| times[column]).collect();
        times.sort();
        times[times.len() / 2]
    };
    Ok(columns.map(middle).collect())
}

fn once(bundles: bool) -> Result<Vec<Duration>> {
    let git = GitServer::new();
    let repository = git.repository("ada/app");
    let files = files(bundles);
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    repository.commit(&files);
    let config = "[egress]\ntest_network = true\n".into();
    let server = Server::with(ServerOptions { config, ..ServerOptions::default() });
    // What is measured is an install, not a server that has just started.
    server.fazt(&["app", "list"]).ok();

    let start = Instant::now();
    let mut child = fazt_command(server.data())
        .args(["app", "install", &git.source("ada/app"), "--yes", "--data"])
        .arg(server.data())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    let mut times = vec![None; STEPS.len()];
    for line in BufReader::new(child.stderr.take().context("piped")?).lines() {
        let line = line?;
        let step = STEPS.iter().position(|(begins, _)| !begins.is_empty() && line.starts_with(begins));
        if let Some(step) = step {
            times[step].get_or_insert(start.elapsed());
        }
        said.push_str(&line);
    }
    ensure!(child.wait()?.success(), "{said}");
    let installed = start.elapsed();
    let mut stream = server.client("app");
    let answer = stream.get("/")?.text();
    let whole = start.elapsed();
    ensure!(answer == HELLO, "{answer}");
    times[STEPS.len() - 1] = Some(installed);
    let mut before = Duration::ZERO;
    let mut steps: Vec<Duration> = times
        .into_iter()
        .map(|time| {
            let time = time.unwrap_or(before);
            let took = time.saturating_sub(before);
            before = time;
            took
        })
        .collect();
    steps.extend([whole - installed, whole]);
    Ok(steps)
}

/// An app of a script and files that compress as badly as pictures do; with a package.json its modules are bundled.
fn files(bundles: bool) -> Vec<(String, String)> {
    let mut files = vec![("app.json".to_owned(), "{ \"name\": \"app\", \"access\": \"public\" }".to_owned())];
    let mut imports = String::new();
    for module in 0..60 {
        let text: String = (0..120)
            .map(|line| format!("export const value{module}_{line}: number = {line} * {module};\n"))
            .collect();
        files.push((format!("lib/part{module}.ts"), text));
        let _ = writeln!(imports, "import * as part{module} from './lib/part{module}.ts';");
    }
    let sum: Vec<String> = (0..60).map(|module| format!("part{module}.value{module}_1")).collect();
    let script = format!(
        "{imports}const sum: number = {};\nexport default {{ fetch: (): Response => new Response(sum > 0 ? '{HELLO}' : '') }};\n",
        sum.join(" + ")
    );
    files.push(("server.ts".into(), script));
    if bundles {
        files.push(("package.json".into(), "{ \"name\": \"app\" }".into()));
        files.push((
            "tsconfig.json".into(),
            "{ \"compilerOptions\": { \"paths\": { \"@/*\": [\"./lib/*\"] } } }".into(),
        ));
    }
    let (_, mut random) = fazt_tests::seed();
    let bytes: usize = files.iter().map(|file| file.1.len()).sum();
    for picture in 0..20 {
        let noise =
            (0..(REPOSITORY_BYTES - bytes) / 20).map(|_| char::from(33 + (random() % 90) as u8)).collect();
        files.push((format!("public/picture{picture}.bin"), noise));
    }
    files
}
