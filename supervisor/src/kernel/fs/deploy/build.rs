//! What a deploy builds of its scripts, in jails and once for each content.

use std::collections::{BTreeSet, HashMap};

use fazt_ipc::limits::{MODULE_BYTES_MAX, MODULES_BYTES_MAX};

use super::super::asset::Sha256;
use super::super::builder::{BuildError, Diagnostic, Source};
use super::super::code::{built_key, is_asset, module_kind};
use super::super::error::FsError;
use super::super::manifest::Manifest;
use super::{Contents, Planned};
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
    imports: Vec<String>,
    failed: Vec<Diagnostic>,
    bytecode: bool,
}

pub(super) async fn build(contents: &Contents<'_>, manifest: &Manifest) -> Result<Outcome, FsError> {
    let Some(main) = manifest.main.as_deref() else { return Ok(Outcome::default()) };
    bounds(contents, manifest)?;
    let mut scripts = known(contents, manifest).await?;
    strip(contents, &mut scripts).await?;
    let reachable = reachable(main, &scripts);
    let mut outcome = Outcome::default();
    imports(contents, &scripts, &reachable, &mut outcome.warnings);
    let rows = compile(contents, &mut scripts).await?;
    let mut refused = Vec::new();
    for script in &scripts {
        let path = &script.file.path;
        if script.failed.is_empty() {
            outcome.keys.insert(path.clone(), script.key);
        } else if reachable.contains(path.as_str()) {
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
async fn known<'a>(contents: &Contents<'a>, manifest: &'a Manifest) -> Result<Vec<Script<'a>>, FsError> {
    let deploy = contents.deploy;
    let assets = manifest.assets.as_deref();
    let files = deploy.files.iter().filter(|file| {
        module_kind(&file.path) == Some(fazt_ipc::wire::kernel::ModuleKind::Script)
            && !is_asset(assets, &file.path)
    });
    let mut scripts: Vec<Script<'a>> = files
        .map(|file| Script {
            file,
            key: built_key(&file.path, file.sha256),
            stripped: None,
            fresh: false,
            imports: Vec::new(),
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
            script.imports = postcard::from_bytes(&built.imports).unwrap_or_default();
            script.bytecode = bytecode;
            script.stripped = Some(built);
        }
    }
    Ok(scripts)
}

async fn source(contents: &Contents<'_>, file: &Planned) -> Result<Result<Source, Diagnostic>, FsError> {
    let bytes = contents.whole(file).await?;
    Ok(String::from_utf8(bytes).map(|text| Source { path: file.path.clone(), text }).map_err(|_| {
        Diagnostic {
            path: file.path.clone(),
            line: 0,
            column: 0,
            message: "the script is not UTF-8".into(),
            frame: String::new(),
        }
    }))
}

/// Looks at every script that was not looked at before.
async fn strip(contents: &Contents<'_>, scripts: &mut [Script<'_>]) -> Result<(), FsError> {
    let mut sources = Vec::new();
    let mut places = Vec::new();
    for (at, script) in scripts.iter_mut().enumerate().filter(|(_, script)| script.stripped.is_none()) {
        match source(contents, script.file).await? {
            Ok(source) => {
                sources.push(source);
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
                let imports = postcard::to_stdvec(&stripped.imports).unwrap_or_default();
                script.imports = stripped.imports;
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
            text.map(|text| Source { path: script.file.path.clone(), text })
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

/// Scripts that the main module leads to through imports that can be followed.
fn reachable<'a>(main: &'a str, scripts: &[Script<'a>]) -> BTreeSet<&'a str> {
    let by_path: HashMap<&'a str, &Script<'a>> =
        scripts.iter().map(|script| (script.file.path.as_str(), script)).collect();
    let mut reached = BTreeSet::from([main]);
    let mut queue = vec![main];
    while let Some(path) = queue.pop() {
        let Some(script) = by_path.get(path) else { continue };
        for import in &script.imports {
            let found = resolve(path, import, |candidate| by_path.contains_key(candidate));
            if let Some((&next, _)) = found.and_then(|found| by_path.get_key_value(found.as_str()))
                && reached.insert(next)
            {
                queue.push(next);
            }
        }
    }
    reached
}

/// Warns of imports that nothing will answer.
fn imports(
    contents: &Contents<'_>,
    scripts: &[Script<'_>],
    reachable: &BTreeSet<&str>,
    warnings: &mut Vec<String>,
) {
    let there =
        |path: &str| contents.deploy.files.binary_search_by(|file| file.path.as_str().cmp(path)).is_ok();
    for script in scripts.iter().filter(|script| reachable.contains(script.file.path.as_str())) {
        for import in &script.imports {
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

/// Finds what a relative specifier means: the path itself, or with an extension, or a folder's index.
fn resolve(from: &str, import: &str, there: impl Fn(&str) -> bool) -> Option<String> {
    let mut parts: Vec<&str> =
        if import.starts_with('/') { Vec::new() } else { from.split('/').collect::<Vec<_>>() };
    if !import.starts_with('/') {
        parts.pop();
        if !import.starts_with('.') {
            return None;
        }
    }
    for part in import.split(['?', '#']).next()?.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            name => parts.push(name),
        }
    }
    let path = parts.join("/");
    let endings = ["", ".js", ".ts", ".mjs", ".mts", ".tsx", ".jsx", ".json", "/index.js", "/index.ts"];
    endings.iter().map(|ending| format!("{path}{ending}")).find(|candidate| there(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_lead_to_files() {
        let files = ["server.ts", "lib/a.ts", "lib/index.js", "data.json"];
        for (from, import, expect) in [
            ("server.ts", "./lib/a.ts", Some("lib/a.ts")),
            ("server.ts", "./lib/a", Some("lib/a.ts")),
            ("server.ts", "./lib", Some("lib/index.js")),
            ("lib/a.ts", "../data.json", Some("data.json")),
            ("lib/a.ts", "../../data.json", None),
            ("lib/a.ts", "/data", Some("data.json")),
            ("lib/a.ts", "data.json", None),
            ("server.ts", "./missing.js", None),
        ] {
            assert_eq!(
                resolve(from, import, |path| files.contains(&path)).as_deref(),
                expect,
                "{from} {import}"
            );
        }
    }
}
