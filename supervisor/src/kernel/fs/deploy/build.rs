//! What a deploy builds of its scripts, in jails and once for each content.

use std::collections::HashMap;
use std::convert::Infallible;

use fazt_ipc::limits::{MODULE_BYTES_MAX, MODULES_BYTES_MAX};
use fazt_ipc::wire::kernel::ModuleKind;

use super::super::asset::Sha256;
use super::super::builder::{BuildError, Diagnostic, Source};
use super::super::code::{built_key, is_asset, module_kind};
use super::super::error::FsError;
use super::super::manifest::Manifest;
use super::super::reach::{Imports, Reach, reach, resolve};
use super::{Contents, Planned};
use crate::build::{Jsx, may_hold_jsx, needs_stripping, tsconfig};
use crate::kernel::storage::{Built, NewBuilt};

/// Diagnostics told of one deploy.
const DIAGNOSTICS_MAX: usize = 10;
/// Characters of one message.
const DIAGNOSTIC_CHARS_MAX: usize = 1_000;
/// Warnings told of one deploy.
const WARNINGS_MAX: usize = 20;

#[derive(Default)]
pub(super) struct Outcome {
    /// Name of what was built, by path of the script.
    pub(super) keys: HashMap<String, Sha256>,
    /// What is new.
    pub(super) rows: Vec<NewBuilt>,
    pub(super) warnings: Vec<String>,
}

/// A script on its way.
struct Script<'a> {
    file: &'a Planned,
    key: Sha256,
    /// In the cartridge already, or made now.
    stripped: Option<Built>,
    fresh: bool,
    imports: Imports,
    failed: Vec<Diagnostic>,
    bytecode: bool,
}

pub(super) async fn build(contents: &Contents<'_>, manifest: &Manifest) -> Result<Outcome, FsError> {
    let Some(main) = manifest.main.as_deref() else { return Ok(Outcome::default()) };
    bounds(contents, manifest)?;
    let mut outcome = Outcome::default();
    let jsx = jsx_settings(contents, manifest, &mut outcome.warnings).await?;
    let mut scripts = known(contents, manifest, &jsx).await?;
    strip(contents, &mut scripts, &jsx).await?;
    let reach = follow(contents, manifest, main, &scripts);
    imports(contents, &scripts, &reach, &mut outcome.warnings);
    let rows = compile(contents, &mut scripts).await?;
    let mut refused = json(contents, manifest, &reach, &mut outcome.warnings).await?;
    for script in &scripts {
        let path = &script.file.path;
        if script.failed.is_empty() {
            outcome.keys.insert(path.clone(), script.key);
        } else if reach.paths.contains(path) {
            refused.extend(script.failed.iter().cloned());
        } else {
            let why = script
                .failed
                .first()
                .map(|first| format!("{}:{}: {}", first.line, first.column, first.message));
            outcome.warnings.push(format!(
                "{path} is left out: nothing imports it and it does not parse ({})",
                why.unwrap_or_default()
            ));
        }
    }
    if !refused.is_empty() {
        refused.truncate(DIAGNOSTICS_MAX);
        return Err(FsError::Scripts(refused));
    }
    outcome.rows = rows;
    outcome.warnings.truncate(WARNINGS_MAX);
    Ok(outcome)
}

/// A worker is sent every module: what it cannot take is refused now and not when it wakes.
fn bounds(contents: &Contents<'_>, manifest: &Manifest) -> Result<(), FsError> {
    let mut total = 0;
    for file in contents.deploy.files.iter() {
        if module_kind(&file.path).is_none() || is_asset(manifest.assets.as_deref(), &file.path) {
            continue;
        }
        total += file.bytes;
        if file.bytes > MODULE_BYTES_MAX as u64 {
            return Err(FsError::TooLarge(format!(
                "`{}` has {} bytes; a module may have {MODULE_BYTES_MAX}. What is served belongs into the assets folder",
                file.path, file.bytes
            )));
        }
    }
    if total > MODULES_BYTES_MAX as u64 {
        return Err(FsError::TooLarge(format!(
            "the modules have {total} bytes together; an app may have {MODULES_BYTES_MAX}. What is served belongs into the assets folder"
        )));
    }
    Ok(())
}

/// What the cartridge has of each script.
async fn known<'a>(
    contents: &Contents<'a>,
    manifest: &'a Manifest,
    jsx: &Jsx,
) -> Result<Vec<Script<'a>>, FsError> {
    let deploy = contents.deploy;
    let assets = manifest.assets.as_deref();
    let files = deploy
        .files
        .iter()
        .filter(|file| module_kind(&file.path) == Some(ModuleKind::Script) && !is_asset(assets, &file.path));
    let mut scripts: Vec<Script<'a>> = files
        .map(|file| Script {
            file,
            key: built_key(&file.path, file.sha256, map_of(contents, &file.path).map(|map| map.sha256), jsx),
            stripped: None,
            fresh: false,
            imports: Imports::default(),
            failed: Vec::new(),
            bytecode: false,
        })
        .collect();
    if contents.fresh {
        return Ok(scripts);
    }
    let keys: Vec<_> = scripts.iter().map(|script| script.key).collect();
    let engine = contents.shared.builder.engine();
    let found = contents
        .shared
        .storage
        .read(contents.app, move |cartridge| {
            let one = |key: &Sha256| {
                let bytecode = match engine {
                    Some(engine) => cartridge.bytecode(*key, engine)?.is_some(),
                    None => false,
                };
                Ok((cartridge.built(*key)?, bytecode))
            };
            keys.iter().map(one).collect::<Result<Vec<_>, _>>()
        })
        .await?;
    for (script, (stripped, bytecode)) in scripts.iter_mut().zip(found) {
        if let Some(built) = stripped {
            script.imports = Imports::decode(&built.imports);
            script.bytecode = bytecode;
            script.stripped = Some(built);
        }
    }
    Ok(scripts)
}

/// The source map beside a script that is no other language. One that is too large is none.
fn map_of<'a>(contents: &Contents<'a>, path: &str) -> Option<&'a Planned> {
    let files = &contents.deploy.files;
    if needs_stripping(path) {
        return None;
    }
    let path = format!("{path}.map");
    let at = files.binary_search_by(|file| file.path.as_str().cmp(&path)).ok()?;
    files.get(at).filter(|map| map.bytes <= MODULE_BYTES_MAX as u64)
}

async fn source(contents: &Contents<'_>, file: &Planned) -> Result<Result<Source, Diagnostic>, FsError> {
    let bytes = contents.whole(file).await?;
    Ok(String::from_utf8(bytes)
        .map(|text| Source { path: file.path.clone(), text, ..Source::default() })
        .map_err(|_| Diagnostic {
            path: file.path.clone(),
            line: 0,
            column: 0,
            message: "the script is not UTF-8".into(),
            frame: String::new(),
        }))
}

/// Looks at every script that was not looked at before.
async fn strip(contents: &Contents<'_>, scripts: &mut [Script<'_>], jsx: &Jsx) -> Result<(), FsError> {
    let mut sources = Vec::new();
    let mut places = Vec::new();
    for (at, script) in scripts.iter_mut().enumerate().filter(|(_, script)| script.stripped.is_none()) {
        match source(contents, script.file).await? {
            Ok(source) => {
                let jsx = if may_hold_jsx(&source.path) { jsx.clone() } else { Jsx::default() };
                let map = match map_of(contents, &source.path) {
                    Some(map) => String::from_utf8(contents.whole(map).await?).unwrap_or_default(),
                    None => String::new(),
                };
                sources.push(Source { jsx, map, ..source });
                places.push(at);
            }
            Err(diagnostic) => script.failed.push(diagnostic),
        }
    }
    if sources.is_empty() {
        return Ok(());
    }
    let results = contents.shared.builder.strip(sources).await?;
    if results.len() != places.len() {
        return Err(BuildError::Died("it answered for other scripts".into()).into());
    }
    for (at, result) in places.into_iter().zip(results) {
        let script = &mut scripts[at];
        match result {
            Ok(stripped) => {
                script.imports = Imports { specifiers: stripped.imports, complete: stripped.complete };
                let imports = script.imports.encode();
                script.stripped =
                    Some(Built { imports, map: stripped.map, code: stripped.code.into_bytes() });
                script.fresh = true;
            }
            Err(found) => {
                let path = &script.file.path;
                script.failed.extend(found.into_iter().take(DIAGNOSTICS_MAX).map(|one| told(path, one)));
            }
        }
        if script.failed.is_empty() && script.stripped.is_none() {
            return Err(BuildError::Died("it refused a script without saying why".into()).into());
        }
    }
    Ok(())
}

/// What a jail says of a script, fit to be shown: it is not believed about which script it speaks of, and its
/// text may come from whoever wrote the script.
fn told(path: &str, found: Diagnostic) -> Diagnostic {
    let plain = |text: &str| -> String {
        let visible = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        text.chars().take(DIAGNOSTIC_CHARS_MAX).map(visible).collect()
    };
    let (message, frame) = (plain(&found.message).replace('\n', " "), plain(&found.frame));
    Diagnostic { path: path.to_owned(), message, frame, ..found }
}

/// Compiles what has no bytecode for the engine that runs now.
async fn compile(contents: &Contents<'_>, scripts: &mut [Script<'_>]) -> Result<Vec<NewBuilt>, FsError> {
    let mut sources = Vec::new();
    let mut places = Vec::new();
    for (at, script) in scripts.iter().enumerate() {
        let Some(stripped) =
            script.stripped.as_ref().filter(|_| !script.bytecode && script.failed.is_empty())
        else {
            continue;
        };
        let source = if stripped.code.is_empty() {
            source(contents, script.file).await?.ok()
        } else {
            let text = String::from_utf8(stripped.code.clone()).ok();
            text.map(|text| Source { path: script.file.path.clone(), text, ..Source::default() })
        };
        if let Some(source) = source {
            sources.push(source);
            places.push(at);
        }
    }
    let mut bytecode: HashMap<usize, (u64, Vec<u8>)> = HashMap::new();
    if !sources.is_empty() {
        let compiled = contents.shared.builder.compile(sources).await?;
        if compiled.modules.len() != places.len() {
            return Err(BuildError::Died("it answered for other scripts".into()).into());
        }
        for (at, outcome) in places.into_iter().zip(compiled.modules) {
            match outcome {
                Ok(bytes) => {
                    bytecode.insert(at, (compiled.engine, bytes.to_vec()));
                }
                Err(found) => {
                    let found = told(&scripts[at].file.path, found);
                    scripts[at].failed.push(found);
                }
            }
        }
    }
    let mut rows = Vec::new();
    for (at, script) in scripts.iter_mut().enumerate().filter(|(_, script)| script.failed.is_empty()) {
        let bytecode = bytecode.remove(&at);
        if script.fresh || bytecode.is_some() {
            let stripped = if script.fresh { script.stripped.take() } else { None };
            rows.push(NewBuilt { key: script.key, stripped, bytecode });
        }
    }
    Ok(rows)
}

/// What the main module leads to.
fn follow(contents: &Contents<'_>, manifest: &Manifest, main: &str, scripts: &[Script<'_>]) -> Reach {
    let by_path: HashMap<&str, &Script<'_>> =
        scripts.iter().map(|script| (script.file.path.as_str(), script)).collect();
    let there = |path: &str| {
        module_kind(path).is_some()
            && !is_asset(manifest.assets.as_deref(), path)
            && contents.deploy.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok()
    };
    let imports = |path: &str| {
        // What is no script imports nothing.
        let nothing = Imports { specifiers: Vec::new(), complete: true };
        Ok::<_, Infallible>(by_path.get(path).map_or(nothing, |script| script.imports.clone()))
    };
    match reach(main, there, imports) {
        Ok(reach) => reach,
        Err(never) => match never {},
    }
}

/// Whether JSON modules are JSON: those that are imported have to be.
async fn json(
    contents: &Contents<'_>,
    manifest: &Manifest,
    reach: &Reach,
    warnings: &mut Vec<String>,
) -> Result<Vec<Diagnostic>, FsError> {
    let mut wrong = Vec::new();
    for file in contents.deploy.files.iter().filter(|file| {
        module_kind(&file.path) == Some(ModuleKind::Json)
            && !is_asset(manifest.assets.as_deref(), &file.path)
            && reach.needs(&file.path)
    }) {
        let bytes = contents.whole(file).await?;
        let Err(error) = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes) else { continue };
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or(&message);
        let found = Diagnostic {
            path: file.path.clone(),
            line: error.line() as u32,
            column: error.column() as u32,
            message: format!("not valid JSON: {message}"),
            frame: String::new(),
        };
        if reach.paths.contains(&file.path) {
            wrong.push(found);
        } else {
            warnings.push(format!("{found}; importing it will fail"));
        }
    }
    Ok(wrong)
}

/// How the app wants its JSX, if it has any.
async fn jsx_settings(
    contents: &Contents<'_>,
    manifest: &Manifest,
    warnings: &mut Vec<String>,
) -> Result<Jsx, FsError> {
    let files = &contents.deploy.files;
    let assets = manifest.assets.as_deref();
    if !files.iter().any(|file| may_hold_jsx(&file.path) && !is_asset(assets, &file.path)) {
        return Ok(Jsx::default());
    }
    let config = tsconfig::CONFIGS.iter().find_map(|name| files.iter().find(|file| file.path == *name));
    let Some(config) = config else { return Ok(Jsx::default()) };
    if config.bytes > tsconfig::CONFIG_BYTES_MAX {
        let max = tsconfig::CONFIG_BYTES_MAX;
        return Err(FsError::TooLarge(format!(
            "`{}` has {} bytes; at most {max}",
            config.path, config.bytes
        )));
    }
    let text = String::from_utf8_lossy(&contents.whole(config).await?).into_owned();
    let (jsx, warning) = tsconfig::settings(&config.path, &text)
        .map_err(|found| FsError::Scripts(vec![told(&config.path, found)]))?;
    warnings.extend(warning);
    Ok(jsx)
}

/// Warns of imports that nothing will answer.
fn imports(contents: &Contents<'_>, scripts: &[Script<'_>], reach: &Reach, warnings: &mut Vec<String>) {
    let there =
        |path: &str| contents.deploy.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok();
    for script in scripts.iter().filter(|script| reach.paths.contains(&script.file.path)) {
        for import in &script.imports.specifiers {
            let path = &script.file.path;
            let import_shown: String = import.chars().take(100).filter(|c| !c.is_control()).collect();
            if import.starts_with("./") || import.starts_with("../") || import.starts_with('/') {
                if resolve(path, import, there).is_none() {
                    warnings.push(format!("{path} imports \"{import_shown}\", which is not among the files"));
                }
            } else if !import.contains(':') {
                warnings.push(format!(
                    "{path} imports the package \"{import_shown}\": packages must be bundled into the app before deploying (for example with esbuild --bundle --format=esm)"
                ));
            }
        }
    }
}
