//! Runs web-platform-tests in the worker's engine, holds the results against `expectations.json` and writes the
//! table `RESULTS.md`. How to use it: `tests/wpt/README.md`.

mod expect;
mod run;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use expect::Expectations;
use run::Outcome;

/// Folders of web-platform-tests that are run, in the order of the table.
const AREAS: [&str; 15] = [
    "console",
    "dom/abort",
    "dom/events",
    "encoding",
    "fetch",
    "FileAPI",
    "hr-time",
    "html/webappapis",
    "performance-timeline",
    "streams",
    "url",
    "user-timing",
    "WebCryptoAPI",
    "webidl",
    "webmessaging",
];

#[derive(Default)]
struct Area {
    files: usize,
    skipped: usize,
    subtests: usize,
    passed: usize,
    expected: usize,
}

fn main() -> ExitCode {
    match go() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fazt-wpt: {error}");
            ExitCode::from(2)
        }
    }
}

fn go() -> Result<bool, String> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let verbose = arguments.iter().any(|argument| argument == "--verbose");
    let json = arguments.iter().any(|argument| argument == "--failures-json");
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with("--")).collect();
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let root =
        std::env::var_os("WPT_CACHE").map_or_else(|| here.join("../.cache/wpt"), PathBuf::from).join("wpt");
    if !root.join("resources/testharness.js").exists() {
        return Err(format!("no web-platform-tests in {}: run tests/wpt/fetch", root.display()));
    }
    let expectations = Expectations::read(&here.join("expectations.json"))?;

    let mut table: BTreeMap<usize, Area> = BTreeMap::new();
    let mut unexpected = Vec::new();
    let mut surprises = Vec::new();
    let mut failures: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut seen = Vec::new();
    for (index, area) in AREAS.iter().enumerate() {
        for file in files(&root, area)? {
            if !filters.is_empty() && !filters.iter().any(|filter| file.contains(filter.as_str())) {
                continue;
            }
            seen.push(file.clone());
            let row = table.entry(index).or_default();
            row.files += 1;
            if expectations.skip(&file).is_some() {
                row.skipped += 1;
                continue;
            }
            let outcome = run_all_variants(&root, &file)?;
            let mut failed = Vec::new();
            for test in &outcome.subtests {
                row.subtests += 1;
                if test.passed {
                    row.passed += 1;
                    if expectations.exact(&file).any(|name| name == test.name) {
                        surprises.push(format!("{file}: {}", test.name));
                    }
                    continue;
                }
                failed.push(test);
                failures.entry(file.clone()).or_default().insert(test.name.clone(), test.message.clone());
                if expectations.fails(&file, &test.name).is_some() {
                    row.expected += 1;
                } else {
                    unexpected.push(format!("{file}: {}: {}", test.name, test.message));
                }
            }
            if let Some(error) = &outcome.error {
                failures.entry(file.clone()).or_default().insert("(file)".into(), error.clone());
                if expectations.fails(&file, "(file)").is_none() {
                    unexpected.push(format!("{file}: (file): {error}"));
                }
            }
            if verbose {
                println!("{file}: {}/{}", outcome.subtests.len() - failed.len(), outcome.subtests.len());
            }
        }
    }

    if filters.is_empty() {
        for file in expectations.files().filter(|file| !seen.iter().any(|name| name == file)) {
            surprises.push(format!("{file}: named in expectations.json, but there is no such file"));
        }
        let source = std::fs::read_to_string(root.join("../SOURCE")).unwrap_or_default();
        std::fs::write(here.join("RESULTS.md"), results(&table, &expectations, source.trim()))
            .map_err(|error| format!("RESULTS.md: {error}"))?;
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&failures).unwrap_or_default());
    } else {
        print!("{}", rows(&table));
        report("unexpected failures", &unexpected);
        report("expected to fail, but passed (take them out of expectations.json)", &surprises);
    }
    Ok(unexpected.is_empty())
}

fn report(what: &str, list: &[String]) {
    if list.is_empty() {
        return;
    }
    println!("\n{} {what}:", list.len());
    for line in list {
        println!("  {}", line.replace('\n', " "));
    }
}

fn run_all_variants(root: &Path, file: &str) -> Result<Outcome, String> {
    let source = std::fs::read_to_string(root.join(file)).map_err(|error| format!("{file}: {error}"))?;
    let mut variants: Vec<String> = run::meta(&source, "variant").collect();
    if variants.is_empty() {
        variants.push(String::new());
    }
    let mut all = Outcome::default();
    for variant in variants {
        let outcome = run::run(root, file, &variant);
        all.subtests.extend(outcome.subtests);
        all.error = all.error.or(outcome.error);
    }
    Ok(all)
}

/// Every `.any.js` file below a folder, in order.
fn files(root: &Path, area: &str) -> Result<Vec<String>, String> {
    let mut found = Vec::new();
    let mut folders = vec![area.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(root.join(&folder)) else { continue };
        for entry in entries {
            let entry = entry.map_err(|error| format!("{folder}: {error}"))?;
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.ends_with(".any.js") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn rows(table: &BTreeMap<usize, Area>) -> String {
    let mut out = String::from(
        "| area | files | not run | subtests | pass | expected failures | pass rate |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut sum = Area::default();
    let mut line = |name: &str, area: &Area| {
        let rate = if area.subtests == 0 { 0.0 } else { 100.0 * area.passed as f64 / area.subtests as f64 };
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} | {} | {} | {rate:.1} % |",
            area.files, area.skipped, area.subtests, area.passed, area.expected
        );
    };
    for (index, area) in table {
        line(AREAS[*index], area);
        sum.files += area.files;
        sum.skipped += area.skipped;
        sum.subtests += area.subtests;
        sum.passed += area.passed;
        sum.expected += area.expected;
    }
    line("**all**", &sum);
    out
}

fn results(table: &BTreeMap<usize, Area>, expectations: &Expectations, source: &str) -> String {
    let mut out = format!(
        "# web-platform-tests\n\nWritten by `cargo run --release -p fazt-wpt` ({source}). Every failure is named with its \
         reason in `expectations.json`.\n\n{}\n## Why what fails fails\n\n| reason | files not run | entries |\n|---|--:|--:|\n",
        rows(table)
    );
    for (reason, (files, subtests)) in expectations.reasons() {
        let _ = writeln!(out, "| {reason} | {files} | {subtests} |");
    }
    out
}
