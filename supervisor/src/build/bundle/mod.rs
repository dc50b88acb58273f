//! One script out of many: an app's own, its packages', inside the jail. Rolldown does it, on files in memory and on
//! this one thread; the same files give the same bytes.
//!
//! - Imports are looked up inside the repository, in its `node_modules`, and in packages that were handed over.
//! - `node:` and `cloudflare:` modules that the worker has stay imports. Those that it has not become an object that
//!   says so when it is used: many packages import more than they need.
//! - Nothing else may stay an import: what cannot be found refuses the whole, with its name.
//!
//! | file | what |
//! |---|---|
//! | `memory.rs` | the files, as the resolver wants them |
//! | `plugin.rs` | what a module is: text, bytes, a part of the runtime |
//! | `runtime.rs` | modules that the worker has |

mod memory;
mod plugin;
mod runtime;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use rolldown::{
    BundleFactory, BundleFactoryOptions, BundleOutput, BundlerOptions, BundlerTransformOptions,
    CodeSplittingMode, DecoratorOptions, Either, InputItem, JsxOptions, OutputFormat, Platform,
    ResolveOptions, SourceMapType, TsConfig,
};
use rolldown_common::Output;
use rolldown_error::{BuildDiagnostic, DiagnosticOptions};
use serde::{Deserialize, Serialize};

use self::memory::Memory;
use self::plugin::{Modules, Seen};
use super::job::{Refusal, RepoFile};
use super::{Jsx, tsconfig};

pub use runtime::{CLOUDFLARE, NODE};

/// Where the files are, for rolldown.
const TOP: &str = "/app";
/// Name of the script that is made.
pub const BUNDLE: &str = "server.js";
/// Errors that are told of one bundle.
const ERRORS_MAX: usize = 5;
/// What would have to be done to an import that is not found.
const NOWHERE: &str = "it is neither in the repository nor among the packages of its lock file";
/// Warnings that are told of one bundle.
const WARNINGS_MAX: usize = 10;

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// Path of the main module.
    pub main: String,
    /// What is imported as text, beside the usual: patterns of paths, where `*` is anything.
    pub text: Vec<String>,
    /// What is imported as bytes.
    pub data: Vec<String>,
    /// Specifiers that stand for others.
    pub alias: Vec<(String, String)>,
    /// Names that are replaced by JavaScript.
    pub define: Vec<(String, String)>,
}

/// A bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bundle {
    /// JavaScript, an ES module.
    pub code: String,
    /// A source map, version 3, without the sources.
    pub map: String,
    /// What the author should know.
    pub warnings: Vec<String>,
}

/// What has to happen before the lock: these ask the system how many processors there are, once.
pub(super) fn prepare() {
    drop(dashmap::DashMap::<(), ()>::new());
    alone();
}

/// Makes this thread all there is for whatever wants threads. A second time changes nothing.
fn alone() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build();
    // Its only thread is this one; it lives as long.
    std::mem::forget(pool);
}

/// What one run came to.
struct Made {
    output: BundleOutput,
    /// Modules of other runtimes that were imported.
    lacking: BTreeSet<String>,
    /// Packages that were imported.
    packages: BTreeSet<String>,
    warnings: Vec<String>,
}

fn run(entry: &Entry, files: Vec<RepoFile>) -> Result<Made, Refusal> {
    alone();
    let settings = settings(&files);
    let fs = Memory::new(files, settings.paths);
    if !fs.has(&entry.main) {
        return Err(Refusal(format!("the main module `{}` is not among the files", entry.main)));
    }
    let seen = Arc::new(Mutex::new(Seen::default()));
    let plugin = Modules {
        fs: fs.clone(),
        text: entry.text.clone(),
        data: entry.data.clone(),
        seen: Arc::clone(&seen),
    };
    let platform = Platform::Browser;
    let options = options(entry, &settings.jsx, platform);
    // No clock, no socket: what it waits for is on this thread.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| Refusal(format!("no runtime: {error}")))?;
    let made = runtime.block_on(async {
        let mut factory = BundleFactory::new(BundleFactoryOptions {
            bundler_options: options,
            plugins: vec![Arc::new(plugin)],
            session: None,
            disable_tracing_setup: true,
        })?;
        let config = match fs.has("tsconfig.json") {
            true => TsConfig::Manual(format!("{TOP}/tsconfig.json").into()),
            false => TsConfig::Auto(false),
        };
        let resolver =
            rolldown_resolver::Resolver::new(fs.clone(), TOP.into(), platform, &config, resolving(entry));
        factory.create_bundle_with_fs(fs.clone(), Arc::new(resolver)).generate().await
    });
    // What was put off until the thread has time.
    while let Some(rayon::Yield::Executed) = rayon::yield_now() {}
    let output = made.map_err(|errors| Refusal(told(&errors.into_vec(), ERRORS_MAX).join("; ")))?;
    let Seen { lacking, packages } = seen.lock().map(|seen| seen.clone()).unwrap_or_default();
    Ok(Made { output, lacking, packages, warnings: settings.warning.into_iter().collect() })
}

/// Names of the packages that the scripts from `entry` on import, whether they are there or not.
///
/// # Errors
/// What is wrong with the scripts, by path and line.
pub(super) fn scan(entry: &Entry, files: Vec<RepoFile>) -> Result<BTreeSet<String>, Refusal> {
    run(entry, files).map(|made| made.packages)
}

/// Bundles the scripts that `entry` leads to. `files`: by path from the top, `node_modules` among them.
///
/// # Errors
/// What is wrong with the scripts, by path and line, or which import leads nowhere.
pub(super) fn bundle(entry: &Entry, files: Vec<RepoFile>) -> Result<Bundle, Refusal> {
    let made = run(entry, files)?;
    let mut warnings = made.warnings;
    let mut chunks = made.output.assets.into_iter().filter_map(|output| match output {
        Output::Chunk(chunk) => Some(chunk),
        Output::Asset(_) => None,
    });
    let (Some(chunk), None) = (chunks.next(), chunks.next()) else {
        return Err(Refusal("the bundler made no script, or more than one".into()));
    };
    let open: Vec<&str> = chunk
        .imports
        .iter()
        .chain(&chunk.dynamic_imports)
        .map(|name| name.as_str())
        .filter(|name| runtime::find(name).is_none() && *name != chunk.filename.as_str())
        .collect();
    if !open.is_empty() {
        // Of a URL nothing is said.
        let why = match told(&made.output.warnings, ERRORS_MAX) {
            places if places.is_empty() => NOWHERE.to_owned(),
            places => places.join("; "),
        };
        return Err(Refusal(format!("imports that lead nowhere: {}: {why}", open.join(", "))));
    }
    if let Some(wasm) = chunk.module_ids.iter().find(|id| plugin::file_of(id.as_str()).ends_with(".wasm")) {
        let path = plugin::file_of(wasm.as_str()).trim_start_matches(TOP).trim_start_matches('/');
        return Err(Refusal(format!("the app needs what Fazt does not have: WebAssembly (`{path}`)")));
    }
    for name in made.lacking {
        if chunk.module_ids.iter().any(|id| id.as_str() == plugin::lacking_id(&name)) {
            warnings.push(format!("the app imports `{name}`, which there is not here; using it will fail"));
        }
    }
    warnings.truncate(WARNINGS_MAX);
    let map = chunk.map.as_ref().map(|map| map.to_json_string()).unwrap_or_default();
    Ok(Bundle { code: chunk.code.clone(), map, warnings })
}

/// Whether imports may be short for something else, which only bundling understands.
pub(super) fn has_paths(files: &[RepoFile]) -> bool {
    settings(files).paths.is_some()
}

/// What the app's own settings say.
struct Settings {
    jsx: Jsx,
    paths: Option<String>,
    warning: Option<String>,
}

fn settings(files: &[RepoFile]) -> Settings {
    let read = |path: &str| {
        let file = files.iter().find(|file| file.path == path)?;
        (file.bytes.len() as u64 <= tsconfig::CONFIG_BYTES_MAX)
            .then(|| String::from_utf8_lossy(&file.bytes).into_owned())
    };
    let found = tsconfig::CONFIGS.iter().find_map(|path| Some((*path, read(path)?)));
    let Some((path, text)) = found else {
        return Settings { jsx: Jsx::default(), paths: None, warning: None };
    };
    let (jsx, warning) = match tsconfig::settings(path, &text) {
        Ok((jsx, warning)) => (jsx, warning),
        Err(diagnostic) => (Jsx::default(), Some(diagnostic.to_string())),
    };
    Settings { jsx, paths: tsconfig::paths(&text, read), warning }
}

fn options(entry: &Entry, jsx: &Jsx, platform: Platform) -> BundlerOptions {
    let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let jsx = JsxOptions {
        runtime: Some(if jsx.classic { "classic" } else { "automatic" }.into()),
        import_source: given(&jsx.import_source),
        pragma: given(&jsx.factory),
        pragma_frag: given(&jsx.fragment),
        ..JsxOptions::default()
    };
    // Packages ask it and leave out what is for development.
    let mode = ("process.env.NODE_ENV".to_owned(), "\"production\"".to_owned());
    BundlerOptions {
        input: Some(vec![InputItem { name: Some("server".into()), import: format!("{TOP}/{}", entry.main) }]),
        // Never asked of the system, which would not answer.
        cwd: Some(TOP.into()),
        dir: Some(TOP.into()),
        entry_filenames: Some(BUNDLE.to_owned().into()),
        platform: Some(platform),
        format: Some(OutputFormat::Esm),
        sourcemap: Some(SourceMapType::Hidden),
        sourcemap_exclude_sources: Some(true),
        // One file: what is imported later is there already.
        code_splitting: Some(CodeSplittingMode::Bool(false)),
        tsconfig: Some(TsConfig::Auto(false)),
        resolve: Some(resolving(entry)),
        define: Some(std::iter::once(mode).chain(entry.define.iter().cloned()).collect()),
        transform: Some(BundlerTransformOptions {
            jsx: Some(Either::Right(jsx)),
            decorator: Some(DecoratorOptions { legacy: Some(true), ..DecoratorOptions::default() }),
            ..BundlerTransformOptions::default()
        }),
        ..BundlerOptions::default()
    }
}

/// As Wrangler resolves: what packages have for Workers first, then what they have for browsers.
fn resolving(entry: &Entry) -> ResolveOptions {
    ResolveOptions {
        condition_names: Some(["workerd", "worker", "browser"].map(str::to_owned).to_vec()),
        alias: (!entry.alias.is_empty())
            .then(|| entry.alias.iter().map(|(from, to)| (from.clone(), vec![Some(to.clone())])).collect()),
        symlinks: Some(false),
        ..ResolveOptions::default()
    }
}

/// Errors and warnings, each on a line of its own with its place.
fn told(found: &[BuildDiagnostic], max: usize) -> Vec<String> {
    // The folder is given: asking the system for it would end this process.
    let options = DiagnosticOptions { cwd: TOP.into() };
    let one = |diagnostic: &BuildDiagnostic| {
        let diagnostic = diagnostic.to_diagnostic_with(&options);
        let message = plain(&diagnostic.to_string());
        match diagnostic.get_primary_location() {
            Some((path, line, column, _)) => {
                format!(
                    "{}:{line}:{}: {message}",
                    path.trim_start_matches(TOP).trim_start_matches('/'),
                    column + 1
                )
            }
            None => message,
        }
    };
    found.iter().take(max).map(one).collect()
}

/// What the bundler says, on one line: its first, and what it has written below the place, without the drawing.
fn plain(drawn: &str) -> String {
    let mut lines = drawn.lines();
    let first = lines.next().unwrap_or_default();
    let (code, text) = first.strip_prefix('[').and_then(|rest| rest.split_once("] ")).unwrap_or(("", first));
    let below = lines.filter_map(|line| line.split_once('╰'));
    let mut below =
        below.map(|(_, label)| label.trim_matches(['─', '╯', ' '])).filter(|label| !label.is_empty());
    let more = match (code, below.next()) {
        ("UNRESOLVED_IMPORT", _) => NOWHERE,
        (_, Some(label)) => label,
        (_, None) => return text.to_owned(),
    };
    format!("{text}; {more}")
}
