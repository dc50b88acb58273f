//! Runs one test file (one variant) in an engine of its own and collects its subtests.
//!
//! The engine is the worker's, outside of any sandbox: test files are trusted, and only read from the cache.

use std::path::Path;
use std::time::{Duration, Instant};

use fazt_worker::Engine;
use rquickjs::{CatchResultExt, Ctx, Function, Object};

/// Wall time that one file may take.
const FILE_TIMEOUT: Duration = Duration::from_secs(40);

/// What became of one subtest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Subtest {
    pub(crate) name: String,
    pub(crate) passed: bool,
    pub(crate) message: String,
}

/// What became of a file.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) subtests: Vec<Subtest>,
    /// Why the file as a whole did not finish well.
    pub(crate) error: Option<String>,
}

const PROLOGUE: &str = include_str!("prologue.js");

/// Runs `file` (a path below `root`) with `variant` as the query of its address.
pub(crate) fn run(root: &Path, file: &str, variant: &str) -> Outcome {
    match try_run(root, file, variant) {
        Ok(outcome) => outcome,
        Err(error) => Outcome { subtests: Vec::new(), error: Some(error) },
    }
}

fn try_run(root: &Path, file: &str, variant: &str) -> Result<Outcome, String> {
    let source = std::fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
    let engine = Engine::new().map_err(|error| error.to_string())?;
    let deadline = Instant::now() + FILE_TIMEOUT;
    engine.runtime().set_interrupt_handler(Some(Box::new(move || Instant::now() > deadline)));

    engine.with(|ctx| -> Result<(), String> {
        provide(&ctx, root, file, variant).map_err(|error| error.to_string())?;
        let mut scripts = vec!["/resources/testharness.js".to_owned()];
        scripts.extend(meta(&source, "script"));
        let title = meta(&source, "title").next().unwrap_or_else(|| file.to_owned());
        evaluate(&ctx, "prologue.js", PROLOGUE)?;
        ctx.globals().set("META_TITLE", title).map_err(|error| error.to_string())?;
        for script in scripts {
            let path = local(file, &script);
            let code =
                std::fs::read_to_string(root.join(&path)).map_err(|error| format!("{path}: {error}"))?;
            evaluate(&ctx, &path, &code)?;
            if script.ends_with("testharness.js") {
                evaluate(&ctx, "report.js", "WPT.install();")?;
            }
        }
        evaluate(&ctx, file, &source)
    })?;

    loop {
        engine.run_jobs();
        let settled = engine.with(|ctx| ctx.eval::<bool, _>("WPT.settled()").unwrap_or(true));
        if settled || Instant::now() > deadline {
            break;
        }
        match engine.run_due_timer() {
            Some(0) => {}
            Some(wait_ns) => std::thread::sleep(Duration::from_nanos(wait_ns).min(Duration::from_secs(1))),
            None => break,
        }
    }
    let timed_out = Instant::now() > deadline;
    engine.runtime().set_interrupt_handler(None);
    let report = engine
        .with(|ctx| ctx.eval::<String, _>("WPT.report()").catch(&ctx).map_err(|error| error.to_string()))?;
    let report: serde_json::Value = serde_json::from_str(&report).map_err(|error| error.to_string())?;
    let subtests = report["tests"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Outcome {
        subtests: subtests
            .iter()
            .map(|test| Subtest {
                name: text(&test["name"]),
                passed: test["status"] == 0,
                message: text(&test["message"]),
            })
            .collect(),
        error: if timed_out {
            Some("the file ran out of time".to_owned())
        } else {
            report["error"].as_str().map(str::to_owned)
        },
    })
}

fn evaluate(ctx: &Ctx<'_>, name: &str, code: &str) -> Result<(), String> {
    let mut options = rquickjs::context::EvalOptions::default();
    options.global = true;
    options.strict = false;
    options.filename = Some(name.to_owned());
    ctx.eval_with_options::<(), _>(code, options).catch(ctx).map_err(|error| format!("{name}: {error}"))
}

/// The functions that `prologue.js` builds on.
fn provide(ctx: &Ctx<'_>, root: &Path, file: &str, variant: &str) -> rquickjs::Result<()> {
    let host = Object::new(ctx.clone())?;
    let (base, root) = (file.to_owned(), root.to_owned());
    host.set(
        "read",
        Function::new(ctx.clone(), move |path: String| {
            std::fs::read(root.join(local(&base, &path)))
                .ok()
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        })?,
    )?;
    let start = Instant::now();
    host.set("now", Function::new(ctx.clone(), move || start.elapsed().as_secs_f64() * 1000.0)?)?;
    host.set(
        "debug",
        Function::new(ctx.clone(), |text: String| {
            if std::env::var_os("WPT_DEBUG").is_some() {
                eprintln!("{text}");
            }
        })?,
    )?;
    host.set("gc", Function::new(ctx.clone(), |ctx: Ctx<'_>| ctx.run_gc())?)?;
    host.set("file", file)?;
    host.set("variant", variant)?;
    ctx.globals().set("WPT_HOST", host)
}

/// Values of `// META: key=value` lines.
pub(crate) fn meta<'a>(source: &'a str, key: &'a str) -> impl Iterator<Item = String> + 'a {
    source.lines().filter_map(move |line| {
        let (found, value) = line.strip_prefix("// META:")?.trim().split_once('=')?;
        (found == key).then(|| value.trim().to_owned())
    })
}

/// The path below the root of an address as a test writes it.
fn local(file: &str, address: &str) -> String {
    let address = address.split(['?', '#']).next().unwrap_or_default();
    if address == "/resources/WebIDLParser.js" {
        return "resources/webidl2/lib/webidl2.js".to_owned();
    }
    if let Some(absolute) = address.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in address.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            other => parts.push(other),
        }
    }
    parts.join("/")
}
