//! The prelude as apps see it, without a link.

use fazt_worker::Engine;
use rquickjs::CatchResultExt;

fn eval(script: &str) -> String {
    let engine = Engine::new().expect("an engine");
    engine.with(|ctx| match ctx.eval::<rquickjs::Coerced<String>, _>(script).catch(&ctx) {
        Ok(text) => text.0,
        Err(error) => format!("threw {error}"),
    })
}

#[test]
fn every_lazy_global_exists_and_becomes_a_plain_property() {
    for (name, module) in fazt_worker::prelude::globals::all() {
        let script = format!(
            "const before = Object.getOwnPropertyDescriptor(globalThis, '{name}'); \
             const value = globalThis['{name}']; \
             const after = Object.getOwnPropertyDescriptor(globalThis, '{name}'); \
             [typeof before.get, before.enumerable, value !== undefined, after.value === value, after.writable, after.configurable].join()"
        );
        assert_eq!(eval(&script), "function,false,true,true,true,true", "{name} of {module}");
    }
}

#[test]
fn a_global_can_be_assigned_before_it_is_read() {
    assert_eq!(eval("'use strict'; setTimeout = 5; globalThis.setTimeout"), "5");
}

#[test]
fn threads_and_their_clocks_are_absent() {
    assert_eq!(eval("typeof SharedArrayBuffer + typeof Atomics"), "undefinedundefined");
}

#[test]
fn every_prelude_module_loads() {
    for name in fazt_worker::prelude::names() {
        let engine = Engine::new().expect("an engine");
        engine.load_prelude(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
