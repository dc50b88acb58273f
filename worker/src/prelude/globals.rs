//! Which global is exported by which prelude module, under the same name.
//!
//! A global is an accessor on `globalThis` that loads its module when it is first read and then replaces
//! itself by a plain property.

/// (module, globals that it exports).
pub const GLOBALS: &[(&str, &[&str])] = &[
    ("fazt:console", &["console"]),
    ("fazt:timers", &["setTimeout", "setInterval", "clearTimeout", "clearInterval"]),
];

/// The `index`th global: (name, module).
pub(crate) fn global(index: usize) -> Option<(&'static str, &'static str)> {
    all().nth(index)
}

/// Every lazy global: (name, module).
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    GLOBALS.iter().flat_map(|(module, names)| names.iter().map(move |name| (*name, *module)))
}
