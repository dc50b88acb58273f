//! An app's modules as a worker is sent them, and the way back from stripped code to what its author wrote.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use fazt_ipc::ids::AppId;
use fazt_ipc::wire::kernel::ModuleKind;

use super::asset::{Encoding, Sha256};
use super::builder::Source;
use super::error::FsError;
use super::manifest::Manifest;
use super::reach::{Imports, reach};
use super::shared::Shared;
use crate::build::{self, Jsx, Mapping, Positions, extension, is_script};
use crate::kernel::storage::{Built, NewBuilt, StorageError};

/// Everything one worker is sent.
#[derive(Debug, Clone, Default)]
pub struct Code {
    /// Path of the main module.
    pub main: String,
    /// Every module, by path in order.
    pub modules: Vec<CodeModule>,
    /// Bytes of all modules.
    pub bytes: usize,
    /// Positions of modules that were stripped, as stored.
    pub(in crate::kernel) maps: HashMap<String, Vec<u8>>,
}

/// One module.
#[derive(Debug, Clone)]
pub struct CodeModule {
    /// Path inside the app; its name in stack traces.
    pub path: String,
    /// How to treat it.
    pub kind: ModuleKind,
    /// Content.
    pub bytes: Bytes,
}

/// How a file outside the assets is given to workers; none for one that is no module.
pub(super) fn module_kind(path: &str) -> Option<ModuleKind> {
    let about_the_app =
        matches!(path, "app.json" | "package.json" | "package-lock.json" | "tsconfig.json" | "jsconfig.json");
    let hidden = path.split('/').any(|name| name.starts_with('.') || name == "node_modules");
    if about_the_app || hidden {
        return None;
    }
    if is_script(path) {
        return Some(ModuleKind::Script);
    }
    match extension(path) {
        "json" => Some(ModuleKind::Json),
        "txt" | "html" | "md" | "css" | "sql" => Some(ModuleKind::Text),
        "wasm" | "bin" => Some(ModuleKind::Bytes),
        _ => None,
    }
}

/// Whether a path is below the assets, and so no module.
pub(super) fn is_asset(assets: Option<&str>, path: &str) -> bool {
    assets.is_some_and(|assets| {
        assets.is_empty() || path.strip_prefix(assets).is_some_and(|rest| rest.starts_with('/'))
    })
}

/// Names what is built from a script: bytecode and positions carry its path, so the path is part of it, and so are
/// its source map and the settings of the app that decide what comes out.
pub(super) fn built_key(path: &str, sha256: Sha256, map: Option<Sha256>, jsx: &Jsx) -> Sha256 {
    let mut text = format!("fazt built {} {} ", build::STRIP_VERSION, path.len()).into_bytes();
    text.extend_from_slice(path.as_bytes());
    text.extend_from_slice(&sha256.0);
    if let Some(map) = map {
        text.extend_from_slice(b" map ");
        text.extend_from_slice(&map.0);
    }
    if build::may_hold_jsx(path) && *jsx != Jsx::default() {
        text.extend(postcard::to_stdvec(jsx).unwrap_or_default());
    }
    Sha256::of(&text)
}

/// Reads the modules of a version: those that its main module leads to, or all where that cannot be known.
pub(super) async fn load(
    shared: &Arc<Shared>,
    app: AppId,
    name: &str,
    number: u64,
    manifest: &Manifest,
) -> Result<Arc<Code>, FsError> {
    if let Some(code) = shared.codes.get(&(app, number)) {
        return Ok(code);
    }
    let Some(main) = manifest.main.clone() else {
        return Err(FsError::BadDeploy(format!("app `{name}` has no code to run")));
    };
    let assets = manifest.assets.clone();
    let engine = shared.builder.engine();
    let (code, uncompiled) = shared
        .storage
        .read(app, move |cartridge| {
            let mut code = Code { main, ..Code::default() };
            let mut uncompiled = Vec::new();
            let files: BTreeMap<String, _> = cartridge
                .files(number)?
                .into_iter()
                .filter(|file| !is_asset(assets.as_deref(), &file.path))
                .filter_map(|file| Some((file.path.clone(), (module_kind(&file.path)?, file))))
                .collect();
            let mut built: HashMap<Sha256, Option<Built>> = HashMap::new();
            let imports = |path: &str| -> Result<Imports, StorageError> {
                let key = files.get(path).and_then(|(_, file)| file.built);
                // What is no script imports nothing.
                let Some(key) = key else { return Ok(Imports { complete: true, ..Imports::default() }) };
                let found = cartridge.built(key)?;
                let imports = found.as_ref().map(|built| Imports::decode(&built.imports)).unwrap_or_default();
                built.insert(key, found);
                Ok(imports)
            };
            let reach = reach(&code.main, |path| files.contains_key(path), imports)?;
            for (kind, file) in files.into_values() {
                if !reach.needs(&file.path) {
                    continue;
                }
                let gone = || StorageError::Corrupt {
                    path: app.to_string(),
                    detail: format!("the content of {} is missing", file.path),
                };
                let whole =
                    || cartridge.content(file.sha256, Encoding::Identity, 0, usize::MAX)?.ok_or_else(gone);
                let (kind, bytes) = match (kind, file.built) {
                    (ModuleKind::Script, Some(key)) => {
                        let bytecode = match engine {
                            Some(engine) => cartridge.bytecode(key, engine)?,
                            None => None,
                        };
                        let known = match built.remove(&key) {
                            Some(known) => known,
                            None => cartridge.built(key)?,
                        };
                        let built = known.ok_or_else(gone)?;
                        if !built.map.is_empty() {
                            code.maps.insert(file.path.clone(), built.map);
                        }
                        if let Some(bytecode) = bytecode {
                            (ModuleKind::Bytecode, bytecode)
                        } else {
                            let script = if built.code.is_empty() { whole()? } else { built.code };
                            uncompiled.push((key, file.path.clone()));
                            (ModuleKind::Script, script)
                        }
                    }
                    // It does not parse and nothing imports it: the deploy warned.
                    (ModuleKind::Script, None) => continue,
                    (kind, _) => (kind, whole()?),
                };
                code.bytes += bytes.len();
                code.modules.push(CodeModule { path: file.path, kind, bytes: bytes.into() });
            }
            Ok((code, uncompiled))
        })
        .await?;
    let code = Arc::new(code);
    if uncompiled.is_empty() {
        shared.codes.put((app, number), Arc::clone(&code), code.bytes + 4096);
    } else if engine.is_some() {
        compile_later(Arc::clone(shared), app, Arc::clone(&code), uncompiled);
    }
    Ok(code)
}

/// After an upgrade of the engine the first wake sends scripts; bytecode is there for the next.
fn compile_later(shared: Arc<Shared>, app: AppId, code: Arc<Code>, scripts: Vec<(Sha256, String)>) {
    tokio::spawn(async move {
        let mut keys = Vec::new();
        let mut sources = Vec::new();
        for (key, path) in scripts {
            let module = code.modules.iter().find(|module| module.path == path);
            if let Some(text) = module.and_then(|module| std::str::from_utf8(&module.bytes).ok()) {
                keys.push(key);
                sources.push(Source { path, text: text.to_owned(), ..Source::default() });
            }
        }
        drop(code);
        let Ok(compiled) = shared.builder.compile(sources).await else { return };
        let built: Vec<_> = keys
            .into_iter()
            .zip(compiled.modules)
            .filter_map(|(key, outcome)| {
                let bytecode = Some((compiled.engine, outcome.ok()?.to_vec()));
                Some(NewBuilt { key, stripped: None, bytecode })
            })
            .collect();
        let storage = Arc::clone(&shared.storage);
        let stored = shared
            .storage
            .blocking(move || storage.change(app, false, |cartridge| cartridge.add_built(&built)))
            .await;
        if let Err(error) = stored {
            tracing::warn!(%app, %error, "bytecode was made but could not be kept");
        }
    });
}

impl Code {
    /// Where the author wrote what is at this place of the stripped code. Lines and columns count from 1, as
    /// stack traces do. The same place back for a module that was not stripped.
    #[must_use]
    pub fn map_position(&self, path: &str, line: u32, column: u32) -> (u32, u32) {
        let map = self.maps.get(path).and_then(|map| Positions::decode(map).ok());
        map.and_then(|map| lookup(&map.mappings, line, column))
            .map_or((line, column), |(_, line, column)| (line, column))
    }

    /// A stack trace with every `path:line:column` and `path:line` mapped. Of a bundle the path becomes that of the
    /// source.
    #[must_use]
    pub fn map_text(&self, text: &str) -> String {
        if self.maps.is_empty() {
            return text.to_owned();
        }
        let mut decoded: HashMap<&str, Positions> = HashMap::new();
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(':') {
            let (before, after) = rest.split_at(at);
            out.push_str(before);
            let place = self.module_at_end(&out).and_then(|path| {
                let (line, used) = number(&after[1..])?;
                let column = after[1 + used..].strip_prefix(':').and_then(number);
                let map = match decoded.entry(path) {
                    std::collections::hash_map::Entry::Occupied(found) => found.into_mut(),
                    std::collections::hash_map::Entry::Vacant(free) => {
                        free.insert(Positions::decode(self.maps.get(path)?).ok()?)
                    }
                };
                let (at, to_line, to_column) =
                    lookup(&map.mappings, line, column.map_or(1, |(column, _)| column))?;
                let source = map.source_of.get(at).and_then(|at| map.sources.get(*at as usize));
                Some((
                    (path.len(), source.cloned()),
                    (to_line, to_column, 1 + used + column.map_or(0, |(_, used)| 1 + used), column.is_some()),
                ))
            });
            let place = place.map(|((path_bytes, source), place)| {
                if let Some(source) = source {
                    out.truncate(out.len() - path_bytes);
                    out.push_str(&source);
                }
                place
            });
            match place {
                Some((line, column, used, true)) => {
                    out.push_str(&format!(":{line}:{column}"));
                    rest = &after[used..];
                }
                Some((line, _, used, false)) => {
                    out.push_str(&format!(":{line}"));
                    rest = &after[used..];
                }
                None => {
                    out.push(':');
                    rest = &after[1..];
                }
            }
        }
        out.push_str(rest);
        out
    }

    /// The stripped module whose path the text ends with, if it does so at the start of a word.
    fn module_at_end(&self, text: &str) -> Option<&str> {
        let found = self.maps.keys().filter(|path| {
            text.strip_suffix(path.as_str()).is_some_and(|before| {
                !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))
            })
        });
        found.max_by_key(|path| path.len()).map(String::as_str)
    }
}

fn number(text: &str) -> Option<(u32, usize)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).take(9).count();
    Some((text[..digits].parse().ok()?, digits))
}

/// The last position at or before the place, on its line; else the first on it. Which one, and where it leads.
fn lookup(map: &[Mapping], line: u32, column: u32) -> Option<(usize, u32, u32)> {
    let (line, column) = (line.checked_sub(1)?, column.saturating_sub(1));
    let after = map.partition_point(|mapping| (mapping.line, mapping.column) <= (line, column));
    let on_line = |at: &usize| map.get(*at).is_some_and(|mapping| mapping.line == line);
    let at = after.checked_sub(1).filter(on_line).or(Some(after).filter(on_line))?;
    Some((at, map[at].source_line + 1, map[at].source_column + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code() -> Code {
        let at =
            |line, column, source_line, source_column| Mapping { line, column, source_line, source_column };
        let map = Mapping::encode(&[at(0, 0, 10, 2), at(0, 8, 11, 0), at(2, 4, 20, 6)]);
        let maps = [("server.ts".to_owned(), map.clone()), ("lib/server.ts".to_owned(), map)].into();
        Code { maps, ..Code::default() }
    }

    #[test]
    fn positions_go_back_to_the_source() {
        let code = code();
        for (place, expect) in [((1, 1), (11, 3)), ((1, 9), (12, 1)), ((1, 50), (12, 1)), ((3, 1), (21, 7))] {
            assert_eq!(code.map_position("server.ts", place.0, place.1), expect, "{place:?}");
        }
        assert_eq!(code.map_position("server.ts", 2, 1), (2, 1), "nothing is known of that line");
        assert_eq!(code.map_position("other.js", 2, 1), (2, 1));
    }

    #[test]
    fn a_stack_is_mapped_and_everything_else_stays() {
        let stack = "Error: at 12:30: x.ts:1:1\n    at f (server.ts:1:9)\n    at lib/server.ts:3:1\n    at myserver.ts:1:9\n    at server.ts:3\n    at server.ts:7:1 é:";
        let expect = "Error: at 12:30: x.ts:1:1\n    at f (server.ts:12:1)\n    at lib/server.ts:21:7\n    at myserver.ts:1:9\n    at server.ts:21\n    at server.ts:7:1 é:";
        assert_eq!(code().map_text(stack), expect);
    }

    #[test]
    fn a_stack_of_a_bundle_names_its_sources() {
        let map = r#"{"version":3,"sources":["src/a.ts","src/b.ts"],"mappings":"AAAA;ACCE"}"#;
        let map = Positions::from_source_map(map).expect("a map").encode();
        let code = Code { maps: [("server.js".to_owned(), map)].into(), ..Code::default() };
        let stack = "Error: x\n    at f (server.js:1:5)\n    at server.js:2:1\n    at server.js:9:1";
        let expect = "Error: x\n    at f (src/a.ts:1:1)\n    at src/b.ts:2:3\n    at server.js:9:1";
        assert_eq!(code.map_text(stack), expect);
    }

    #[test]
    fn module_kinds_follow_the_name() {
        for (path, kind) in [
            ("server.ts", Some(ModuleKind::Script)),
            ("types.d.ts", None),
            ("data.json", Some(ModuleKind::Json)),
            ("app.json", None),
            ("lib/app.json", Some(ModuleKind::Json)),
            ("page.html", Some(ModuleKind::Text)),
            ("m.wasm", Some(ModuleKind::Bytes)),
            ("node_modules/a/b.js", None),
            (".eslintrc.js", None),
            ("README", None),
        ] {
            assert_eq!(module_kind(path), kind, "{path}");
        }
        assert!(is_asset(Some("public"), "public/a.js") && !is_asset(Some("public"), "publica.js"));
    }
}
