//! Modules that are a part of the worker and not of an app. A test compares them with what the worker has.

/// Modules of Node that the worker has, without `node:`.
pub const NODE: [&str; 19] = [
    "assert",
    "assert/strict",
    "async_hooks",
    "buffer",
    "crypto",
    "events",
    "path",
    "path/posix",
    "process",
    "querystring",
    "stream",
    "stream/consumers",
    "stream/promises",
    "stream/web",
    "string_decoder",
    "timers",
    "timers/promises",
    "url",
    "util",
];
/// Modules of Cloudflare's that the worker has, without `cloudflare:`.
pub const CLOUDFLARE: [&str; 1] = ["workers"];
/// Modules of Node that the worker has not, and that packages name without `node:`.
const NODE_ELSEWHERE: [&str; 29] = [
    "child_process",
    "cluster",
    "console",
    "constants",
    "dgram",
    "diagnostics_channel",
    "dns",
    "dns/promises",
    "domain",
    "fs",
    "fs/promises",
    "http",
    "http2",
    "https",
    "inspector",
    "module",
    "net",
    "os",
    "perf_hooks",
    "punycode",
    "readline",
    "repl",
    "sys",
    "tls",
    "tty",
    "util/types",
    "v8",
    "vm",
    "zlib",
];

/// The module of the worker that a specifier means, with its prefix.
pub(super) fn find(specifier: &str) -> Option<&str> {
    let known = |prefix: &str, names: &[&str]| {
        specifier.strip_prefix(prefix).is_some_and(|name| names.contains(&name))
    };
    (known("node:", &NODE) || known("cloudflare:", &CLOUDFLARE)).then_some(specifier)
}

/// A specifier that never means a file: what it is called in full, and whether the worker has it. `alone`: a module of
/// Node without `node:` counts, as no package is called so.
pub(super) fn named(specifier: &str, alone: bool) -> Option<(String, bool)> {
    if specifier.starts_with("node:") || specifier.starts_with("cloudflare:") {
        return Some((specifier.to_owned(), find(specifier).is_some()));
    }
    let there = NODE.contains(&specifier);
    (alone && (there || NODE_ELSEWHERE.contains(&specifier))).then(|| (format!("node:{specifier}"), there))
}
