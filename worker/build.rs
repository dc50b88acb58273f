//! Compiles the prelude (`src/prelude/**/*.js`) to bytecode with the same engine that the worker links, and
//! writes the table that `src/prelude/mod.rs` includes. Sees only files of this repository.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::{Declared, ModuleDef, WriteOptions};
use rquickjs::{CatchResultExt, Context, Ctx, Module, Runtime};

/// Compiling resolves the imports of a module: every name is accepted and stands for an empty module, since
/// linking happens in the worker.
struct Anything;

impl Resolver for Anything {
    fn resolve<'js>(
        &mut self,
        _: &Ctx<'js>,
        _: &str,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        Ok(name.into())
    }
}

struct Empty;
impl ModuleDef for Empty {}

impl Loader for Anything {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        _: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        Module::declare_def::<Empty, _>(ctx.clone(), name)
    }
}

fn main() {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo")).join("src/prelude");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo"));
    println!("cargo::rerun-if-changed=src/prelude");
    println!("cargo::rerun-if-changed=build.rs");

    let mut sources = Vec::new();
    for (folder, scheme) in
        [("", "fazt"), ("bindings", "fazt"), ("node", "node"), ("cloudflare", "cloudflare")]
    {
        collect(&root.join(folder), &format!("{scheme}:"), &mut sources);
    }
    sources.sort();

    // FNV-1a over everything that decides what bytecode means: the engine shows in the bytecode it writes.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |bytes: &[u8]| {
        for byte in bytes.iter().chain(&[0]) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    };
    mix(env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default().as_bytes());
    let mut table = String::from("pub(crate) static MODULES: &[(&str, &[u8])] = &[\n");
    for (name, path) in &sources {
        let source = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let bytecode = compile(name, path, source);
        mix(name.as_bytes());
        mix(&bytecode);
        let file = format!("{}.bc", name.replace([':', '/'], "_"));
        fs::write(out.join(&file), bytecode).expect("write bytecode");
        let _ = writeln!(table, "    ({name:?}, include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{file}\"))),");
    }
    table.push_str("];\n");
    let _ = writeln!(table, "pub(crate) const ENGINE: u64 = {hash:#x};");
    fs::write(out.join("prelude.rs"), table).expect("write the table");
}

/// Names are the scheme and the path below its folder: `node/stream/web.js` is `node:stream/web`.
fn collect(folder: &Path, prefix: &str, into: &mut Vec<(String, PathBuf)>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        if path.extension().is_some_and(|extension| extension == "js") {
            let stem = path.file_stem().expect("has an extension").to_string_lossy().into_owned();
            into.push((format!("{prefix}{stem}"), path));
        } else if prefix != "fazt:" && path.is_dir() {
            let name = path.file_name().expect("has a name").to_string_lossy().into_owned();
            collect(&path, &format!("{prefix}{name}/"), into);
        }
    }
}

fn compile(name: &str, path: &Path, source: Vec<u8>) -> Vec<u8> {
    let runtime = Runtime::new().expect("memory");
    runtime.set_loader(Anything, Anything);
    let context = Context::full(&runtime).expect("memory");
    context.with(|ctx| {
        let module = Module::declare(ctx.clone(), name, source)
            .catch(&ctx)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let options = WriteOptions { strip_source: true, ..WriteOptions::default() };
        module.write(options).expect("memory")
    })
}
