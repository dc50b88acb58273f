//! From a warm engine to a running app.

use fazt_ipc::wire::kernel::{BindingKind, Configure};
use fazt_ipc::wire::worker::Loaded;
use rquickjs::{Function, Object, Promise, Result, Value};

use super::Dispatch;
use crate::engine::{ModuleTable, modules};

impl<'js> Dispatch<'js> {
    /// Serves a made-up request, so that the first real one finds everything in place.
    pub(crate) fn warm_up(&self) -> Result<()> {
        self.main.get::<_, Function<'js>>("warmUp")?.call::<_, ()>(())?;
        while self.ctx.execute_pending_job() {}
        // Shapes, tables and locale data that the engine makes at first use.
        self.ctx.eval::<(), _>("new Date(0).toString(); /a(b)?/u.exec('ab'); JSON.parse(JSON.stringify({a: [1.5]})); Math.random();")
    }

    /// Hands `env`, `ctx.app` and `ctx.user` over.
    pub(crate) fn configure(&self, configure: &Configure) -> Result<()> {
        let object = || Object::new(self.ctx.clone());
        let env = object()?;
        for (name, value) in &configure.env {
            env.set(name.as_str(), value.as_str())?;
        }
        let app = object()?;
        app.set("id", configure.app.to_string())?;
        app.set("name", configure.app_name.as_str())?;
        app.set("version", configure.app_version.as_str())?;
        let user = match &configure.user {
            None => Value::new_null(self.ctx.clone()),
            Some(person) => {
                let user = object()?;
                user.set("id", person.id.as_str())?;
                user.set("name", person.name.as_str())?;
                user.set("role", person.role.as_str())?;
                user.into_value()
            }
        };
        let bindings = rquickjs::Array::new(self.ctx.clone())?;
        for (at, (name, kind)) in configure.bindings.iter().enumerate() {
            let kind = match kind {
                BindingKind::Kv => "kv",
                BindingKind::R2 => "r2",
                BindingKind::D1 => "d1",
                BindingKind::Queue => "queue",
                BindingKind::Assets => "assets",
                BindingKind::Json => "json",
            };
            bindings.set(2 * at, name.as_str())?;
            bindings.set(2 * at + 1, kind)?;
        }
        self.main.get::<_, Function<'js>>("configure")?.call((
            env,
            app,
            user,
            bindings,
            configure.assets.as_str(),
            configure.spa,
        ))
    }

    /// Evaluates the main module: a promise of its top level.
    pub(crate) fn evaluate(&self, table: &ModuleTable, main: &str) -> Result<(Object<'js>, Promise<'js>)> {
        modules::import_app(&self.ctx, table, main)
    }

    /// Looks which handlers the app has.
    pub(crate) fn start(&self, namespace: Object<'js>) -> Result<Loaded> {
        let found: u32 = self.main.get::<_, Function<'js>>("start")?.call((namespace,))?;
        let has = |handler: u32| found & handler != 0;
        Ok(Loaded { fetch: has(1), scheduled: has(2), message: has(4), queue: has(8) })
    }
}
