//! What a module is, before rolldown parses it. Every module is loaded here: nothing is left to be read from a disk,
//! which would need a thread and a file.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rolldown::plugin::{
    HookLoadArgs, HookLoadOutput, HookLoadReturn, HookResolveIdArgs, HookResolveIdOutput,
    HookResolveIdReturn, HookUsage, Plugin, PluginContext, SharedLoadPluginContext,
};
use rolldown_common::{ImportKind, ModuleType};

use super::memory::Memory;
use super::{TOP, runtime};
use crate::build::npm::package_of;
use crate::build::{extension, like};

/// What begins so is no file: a module of the runtime that is `require`d.
const REQUIRED: &str = "\0fazt:require:";
/// A module of another runtime.
const LACKING: &str = "\0fazt:lacking:";

#[derive(Debug)]
pub(super) struct Modules {
    pub(super) fs: Memory,
    pub(super) text: Vec<String>,
    pub(super) data: Vec<String>,
    pub(super) seen: Arc<Mutex<Seen>>,
}

/// What was imported that is no file of the app's own.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    /// Modules of other runtimes.
    pub(super) lacking: BTreeSet<String>,
    /// Packages, and what looks like one.
    pub(super) packages: BTreeSet<String>,
}

pub(super) fn lacking_id(name: &str) -> String {
    format!("{LACKING}{name}")
}

impl Modules {
    fn resolve(&self, specifier: &str, kind: ImportKind) -> Option<HookResolveIdOutput> {
        // A package of that name wins: it is what browsers are given.
        let package = format!("node_modules/{specifier}/package.json");
        let Some((name, there)) = runtime::named(specifier, !self.fs.has(&package)) else {
            if let (Some(package), Ok(mut seen)) = (package_of(specifier), self.seen.lock()) {
                seen.packages.insert(package.to_owned());
            }
            return None;
        };
        Some(match (there, kind) {
            (true, ImportKind::Require) => HookResolveIdOutput::from_id(format!("{REQUIRED}{name}")),
            (true, _) => HookResolveIdOutput {
                id: name.into(),
                external: Some(true.into()),
                ..HookResolveIdOutput::default()
            },
            (false, _) => {
                if let Ok(mut seen) = self.seen.lock() {
                    seen.lacking.insert(name.clone());
                }
                HookResolveIdOutput::from_id(lacking_id(&name))
            }
        })
    }

    fn load(&self, id: &str) -> Result<(String, ModuleType), String> {
        if let Some(name) = id.strip_prefix(REQUIRED) {
            // `require` gives what a module of Node has as its default.
            let code =
                format!("import * as m from {name:?};\nmodule.exports = \"default\" in m ? m.default : m;\n");
            return Ok((code, ModuleType::Js));
        }
        if let Some(name) = id.strip_prefix(LACKING) {
            return Ok((lacking(name), ModuleType::Js));
        }
        let path = file_of(id);
        let bytes = self.fs.get(path).ok_or_else(|| format!("{id} is no file"))?;
        let ending = extension(path);
        let shown = path.trim_start_matches(TOP).trim_start_matches('/');
        let is = |patterns: &[String]| {
            patterns.iter().any(|one| like(one, path) || like(one.trim_start_matches("./"), shown))
        };
        let kind = match ending {
            _ if is(&self.text) => ModuleType::Text,
            _ if is(&self.data) => ModuleType::Binary,
            "js" | "mjs" | "cjs" => ModuleType::Js,
            "jsx" => ModuleType::Jsx,
            "ts" | "mts" | "cts" => ModuleType::Ts,
            "tsx" => ModuleType::Tsx,
            "json" => ModuleType::Json,
            "txt" | "html" | "md" | "css" | "sql" | "svg" | "xml" | "csv" => ModuleType::Text,
            _ => ModuleType::Binary,
        };
        if kind == ModuleType::Binary {
            let text = STANDARD.encode(bytes);
            let code =
                format!("export default Uint8Array.from(atob({text:?}), (c) => c.charCodeAt(0)).buffer;\n");
            return Ok((code, ModuleType::Js));
        }
        if kind == ModuleType::Text {
            // What is no text in it is shown as such, as on Workers.
            return Ok((String::from_utf8_lossy(bytes).trim_start_matches('\u{feff}').to_owned(), kind));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| format!("{shown} is not UTF-8"))?;
        Ok((text.trim_start_matches('\u{feff}').to_owned(), kind))
    }
}

/// The file of a module. What follows a `?` tells a bundler something; there is no such file.
pub(super) fn file_of(id: &str) -> &str {
    id.split('?').next().unwrap_or(id)
}

/// A module whose every name is a function that says what is missing. `module.exports` has it as its prototype, which
/// is where the names of a module without own properties are looked up.
fn lacking(name: &str) -> String {
    format!(
        "module.exports = Object.create(new Proxy({{}}, {{ get: (_, name) => typeof name === \"symbol\" || name === \"__esModule\" || name === \"then\" || name === \"default\" ? undefined : function () {{ throw new Error(`this runtime has no {name}, of which ${{name}} is used`); }} }}));\n"
    )
}

impl Plugin for Modules {
    fn name(&self) -> Cow<'static, str> {
        "fazt".into()
    }

    fn register_hook_usage(&self) -> HookUsage {
        HookUsage::ResolveId | HookUsage::Load
    }

    fn resolve_id(
        &self,
        _: &PluginContext,
        asked: &HookResolveIdArgs<'_>,
    ) -> impl Future<Output = HookResolveIdReturn> + Send {
        let found = self.resolve(asked.specifier, asked.kind);
        async move { Ok(found) }
    }

    fn load(
        &self,
        _: SharedLoadPluginContext,
        asked: &HookLoadArgs<'_>,
    ) -> impl Future<Output = HookLoadReturn> + Send {
        // Modules of rolldown itself, such as what its output begins with, are not ours.
        let ours = asked.id.starts_with(TOP) || asked.id.starts_with("\0fazt:");
        let loaded = ours.then(|| self.load(asked.id));
        async move {
            let Some(loaded) = loaded else { return Ok(None) };
            let (code, kind) = loaded.map_err(std::io::Error::other)?;
            Ok(Some(HookLoadOutput {
                code: code.into(),
                module_type: Some(kind),
                ..HookLoadOutput::default()
            }))
        }
    }
}
