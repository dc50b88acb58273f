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

#[test]
fn dates_and_numbers_are_written_as_elsewhere() {
    let date = "new Date(Date.UTC(2026, 6, 4, 13, 5, 9))";
    for (script, expect) in [
        (format!("{date}.toLocaleString()"), "7/4/2026, 1:05:09 PM"),
        (format!("{date}.toLocaleString('en-US', {{ timeZone: 'America/New_York' }})"), "7/4/2026, 9:05:09 AM"),
        (format!("{date}.toLocaleDateString('en-CA')"), "2026-07-04"),
        (format!("{date}.toLocaleString('sv-SE', {{ timeZone: 'Asia/Kolkata' }})"), "2026-07-04 18:35:09"),
        (format!("{date}.toLocaleDateString('en-GB', {{ dateStyle: 'full' }})"), "Saturday, 4 July 2026"),
        (format!("{date}.toLocaleTimeString('en-US', {{ hour: '2-digit', minute: '2-digit', hour12: false }})"), "13:05"),
        (format!("{date}.toLocaleString('zh-CN', {{ timeZone: 'Asia/Shanghai' }})"), "2026/7/4 21:05:09"),
        (
            format!("new Intl.DateTimeFormat('en-GB', {{ day: '2-digit', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' }}).format({date})"),
            "04 Jul 2026, 13:05",
        ),
        ("new Date(NaN).toLocaleString()".into(), "Invalid Date"),
        ("(1234567.891).toLocaleString()".into(), "1,234,567.891"),
        ("(1234.5).toLocaleString('de-DE', { style: 'currency', currency: 'EUR' })".into(), "1.234,50\u{a0}€"),
        ("(0.256).toLocaleString('en-US', { style: 'percent', maximumFractionDigits: 1 })".into(), "25.6%"),
        ("12345678901234567890n.toLocaleString()".into(), "12,345,678,901,234,567,890"),
        ("new Intl.NumberFormat('en', { notation: 'compact' }).format(1234567)".into(), "1.2M"),
        ("Intl.DateTimeFormat().resolvedOptions().timeZone".into(), "UTC"),
        ("new Intl.NumberFormat() instanceof Intl.NumberFormat".into(), "true"),
        ("new Intl.RelativeTimeFormat('en', { numeric: 'auto' }).format(-1, 'day')".into(), "yesterday"),
        ("['a10', 'a9', 'B'].sort(new Intl.Collator('en', { numeric: true }).compare).join()".into(), "a9,a10,B"),
        ("try { new Intl.DateTimeFormat('en', { timeZone: 'Mars/Base' }) } catch (e) { e.name }".into(), "RangeError"),
        ("new Intl.DateTimeFormat('en', { timeZone: '+05:30', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(0)".into(), "05:30"),
    ] {
        assert_eq!(eval(&script), expect, "{script}");
    }
}
