//! Modules by name: the prelude's (`fazt:…`, `node:…`, `cloudflare:…`), the natives, and the app's files.
//!
//! An app's module never reaches `fazt:…`; a prelude module never reaches the app's files.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::CString;

use fazt_ipc::wire::kernel::{MODULE_ENDINGS, ModuleKind};
use rquickjs::promise::PromiseState;
use rquickjs::{ArrayBuffer, Ctx, Error, Exception, Object, Promise, Result, String as JsString, Value};

use super::sys::{self, ModuleHandle};
use crate::{native, prelude};

/// Base name under which the worker itself imports.
const HOST: &str = "fazt:host";
/// Prelude modules that an app may import.
const PUBLIC: [&str; 2] = ["node:", "cloudflare:"];

/// A file of the app that can be imported.
#[derive(Debug)]
struct File {
    kind: ModuleKind,
    bytes: Vec<u8>,
}

/// Every module that there is or can be.
#[derive(Debug, Default)]
pub struct ModuleTable {
    files: RefCell<HashMap<String, File>>,
    loaded: RefCell<HashMap<String, ModuleHandle>>,
    compile_only: Cell<bool>,
}

impl ModuleTable {
    /// Adds a file of the app. Later ones of the same name win.
    pub fn add(&self, path: &str, kind: ModuleKind, bytes: Vec<u8>) {
        self.files.borrow_mut().insert(path.to_owned(), File { kind, bytes });
    }

    /// From now on imports need not exist: modules are compiled, not run.
    pub fn compile_only(&self) {
        self.compile_only.set(true);
    }

    /// Whether somebody has imported it.
    pub(crate) fn is_loaded(&self, name: &str) -> bool {
        self.loaded.borrow().contains_key(name)
    }

    fn find(&self, path: &str) -> Option<String> {
        let files = self.files.borrow();
        MODULE_ENDINGS.iter().map(|ending| format!("{path}{ending}")).find(|name| files.contains_key(name))
    }

    fn resolve_in_app(&self, ctx: &Ctx<'_>, base: &str, name: &str) -> Result<String> {
        if let Some(public) = public_name(name) {
            return Ok(public);
        }
        if PUBLIC.iter().any(|scheme| name.starts_with(scheme)) {
            let text = format!("this runtime has no module \"{name}\", which {base} imports");
            return Err(Exception::throw_type(ctx, &text));
        }
        let missing = |hint: &str| {
            let base = if base.is_empty() { "the app" } else { base };
            Exception::throw_type(ctx, &format!("cannot find module \"{name}\" imported by {base}{hint}"))
        };
        let relative = name.starts_with("./") || name.starts_with("../") || matches!(name, "." | "..");
        let path = if relative { join(base, name) } else { name.strip_prefix('/').map(str::to_owned) };
        let Some(path) = path.or_else(|| base.is_empty().then(|| name.to_owned())) else {
            return Err(missing(if relative {
                ": the path leaves the app"
            } else {
                ": packages must be bundled into the app; its own files start with \"./\""
            }));
        };
        self.find(&path).ok_or_else(|| missing(""))
    }
}

/// `node:` and `cloudflare:` modules, with `node:` optional where the name is free.
fn public_name(name: &str) -> Option<String> {
    if PUBLIC.iter().any(|scheme| name.starts_with(scheme)) {
        return prelude::bytecode(name).map(|_| name.to_owned());
    }
    let prefixed = format!("node:{name}");
    prelude::bytecode(&prefixed).map(|_| prefixed)
}

fn is_prelude(name: &str) -> bool {
    name.starts_with("fazt:") || PUBLIC.iter().any(|scheme| name.starts_with(scheme))
}

/// `name` relative to the folder of `base`; nothing if it leaves the app.
fn join(base: &str, name: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').collect();
    parts.pop();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            other => parts.push(other),
        }
    }
    Some(parts.join("/"))
}

impl sys::Modules for ModuleTable {
    fn resolve(&self, ctx: &Ctx<'_>, base: &str, name: &str) -> Result<String> {
        if self.compile_only.get() || (is_prelude(base) && is_prelude(name)) {
            return Ok(name.to_owned());
        }
        self.resolve_in_app(ctx, base, name)
    }

    fn load(&self, ctx: &Ctx<'_>, name: &str) -> Result<ModuleHandle> {
        // The engine asks again for the same name with other import attributes: it is the same module.
        if let Some(module) = self.loaded.borrow().get(name) {
            return Ok(*module);
        }
        let module = self.make(ctx, name)?;
        self.loaded.borrow_mut().insert(name.to_owned(), module);
        Ok(module)
    }

    fn native<'js>(&self, ctx: &Ctx<'js>, name: &str) -> Result<Value<'js>> {
        if let Some(group) = name.strip_prefix(native::PREFIX) {
            let made = native::make(ctx, group);
            return made.unwrap_or(Err(Error::Unknown)).map(Object::into_value);
        }
        let file = self.take(name)?;
        match file.kind {
            ModuleKind::Json => ctx.json_parse(file.bytes).map_err(|error| located(ctx, error, name)),
            ModuleKind::Bytes => Ok(ArrayBuffer::new(ctx.clone(), file.bytes)?.into_value()),
            _ => {
                let text = String::from_utf8_lossy(&file.bytes);
                Ok(JsString::from_str(ctx.clone(), &text)?.into_value())
            }
        }
    }
}

/// Puts the file name before the message of the pending exception.
fn located(ctx: &Ctx<'_>, error: Error, name: &str) -> Error {
    if !matches!(error, Error::Exception) {
        return error;
    }
    let caught = ctx.catch();
    let message = caught.as_exception().and_then(rquickjs::Exception::message).unwrap_or_default();
    Exception::throw_syntax(ctx, &format!("{name}: {message}"))
}

impl ModuleTable {
    fn make(&self, ctx: &Ctx<'_>, name: &str) -> Result<ModuleHandle> {
        if self.compile_only.get() {
            return sys::declare_native(ctx, &CString::new(name)?);
        }
        if let Some(group) = name.strip_prefix(native::PREFIX) {
            if native::exists(group) {
                return sys::declare_native(ctx, &CString::new(name)?);
            }
        } else if let Some(bytecode) = prelude::bytecode(name) {
            return sys::read_module(ctx, bytecode);
        }
        let kind = self.files.borrow().get(name).map(|file| file.kind);
        match kind {
            Some(ModuleKind::Script | ModuleKind::Bytecode) => {
                let file = self.take(name)?;
                let module = if file.kind == ModuleKind::Bytecode {
                    sys::read_module(ctx, &file.bytes)?
                } else {
                    sys::compile_module(ctx, &CString::new(name)?, &CString::new(file.bytes)?)?
                };
                sys::set_meta_url(ctx, module, &CString::new(format!("file:///{name}"))?)?;
                Ok(module)
            }
            Some(_) => sys::declare_native(ctx, &CString::new(name)?),
            None => Err(Exception::throw_type(ctx, &format!("cannot find module \"{name}\""))),
        }
    }

    /// Takes the content, which lives in JavaScript from now on; the name stays known.
    fn take(&self, name: &str) -> Result<File> {
        let mut files = self.files.borrow_mut();
        let file = files.get_mut(name).ok_or(Error::Unknown)?;
        Ok(File { kind: file.kind, bytes: std::mem::take(&mut file.bytes) })
    }

    fn handle(&self, ctx: &Ctx<'_>, name: &str) -> Result<ModuleHandle> {
        if let Some(module) = self.loaded.borrow().get(name) {
            return Ok(*module);
        }
        sys::Modules::load(self, ctx, name)
    }
}

/// Evaluates a prelude module and gives its exports.
pub(crate) fn import_prelude<'js>(ctx: &Ctx<'js>, table: &ModuleTable, name: &str) -> Result<Object<'js>> {
    let module = table.handle(ctx, name)?;
    sys::resolve_imports(ctx, module)?;
    let promise = sys::evaluate(ctx, module)?;
    match promise.state() {
        PromiseState::Resolved => sys::namespace(ctx, module),
        PromiseState::Rejected => Err(promise.result::<()>().and_then(Result::err).unwrap_or(Error::Unknown)),
        PromiseState::Pending => Err(Exception::throw_internal(
            ctx,
            &format!("{name} is touched while it is being loaded ({HOST})"),
        )),
    }
}

/// Evaluates a module of the app: its exports, and a promise of its top level.
pub(crate) fn import_app<'js>(
    ctx: &Ctx<'js>,
    table: &ModuleTable,
    main: &str,
) -> Result<(Object<'js>, Promise<'js>)> {
    let name = table.find(main);
    let name =
        name.ok_or_else(|| Exception::throw_type(ctx, &format!("cannot find the main module \"{main}\"")))?;
    let module = table.handle(ctx, &name)?;
    sys::resolve_imports(ctx, module)?;
    let promise = sys::evaluate(ctx, module)?;
    Ok((sys::namespace(ctx, module)?, promise))
}

impl ModuleTable {
    /// Compiles a script to bytecode. Its imports are not looked at ([`ModuleTable::compile_only`]).
    pub(crate) fn compile(&self, ctx: &Ctx<'_>, path: &str) -> Result<Vec<u8>> {
        let file = self.take(path)?;
        let module = sys::compile_module(ctx, &CString::new(path)?, &CString::new(file.bytes)?)?;
        sys::write_module(ctx, module)
    }
}
