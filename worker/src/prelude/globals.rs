//! Which global is exported by which prelude module, under the same name.
//!
//! A global is an accessor on `globalThis` that loads its module when it is first read and then replaces
//! itself by a plain property.

/// (module, globals that it exports).
pub const GLOBALS: &[(&str, &[&str])] = &[
    ("fazt:abort", &["AbortController", "AbortSignal"]),
    ("fazt:base64", &["atob", "btoa"]),
    ("fazt:blob", &["Blob", "File"]),
    ("fazt:caches", &["Cache", "CacheStorage", "caches"]),
    ("fazt:compression", &["CompressionStream", "DecompressionStream"]),
    ("fazt:console", &["console"]),
    ("fazt:crypto", &["Crypto", "CryptoKey", "SubtleCrypto", "crypto"]),
    ("fazt:dom-exception", &["DOMException"]),
    ("fazt:encoding", &["TextDecoder", "TextEncoder"]),
    ("fazt:encoding-streams", &["TextDecoderStream", "TextEncoderStream"]),
    (
        "fazt:events",
        &[
            "CloseEvent",
            "CustomEvent",
            "ErrorEvent",
            "Event",
            "EventTarget",
            "MessageEvent",
            "ProgressEvent",
            "PromiseRejectionEvent",
            "dispatchEvent",
            "reportError",
        ],
    ),
    ("fazt:file-reader", &["FileReader"]),
    ("fazt:form-data", &["FormData"]),
    ("fazt:html-rewriter", &["HTMLRewriter"]),
    ("fazt:message-channel", &["MessageChannel", "MessagePort"]),
    ("fazt:microtask", &["queueMicrotask"]),
    ("fazt:navigator", &["Navigator", "Scheduler", "navigator", "scheduler"]),
    (
        "fazt:performance",
        &[
            "Performance",
            "PerformanceEntry",
            "PerformanceMark",
            "PerformanceMeasure",
            "PerformanceObserver",
            "PerformanceObserverEntryList",
            "performance",
        ],
    ),
    (
        "fazt:streams",
        &[
            "ByteLengthQueuingStrategy",
            "CountQueuingStrategy",
            "ReadableByteStreamController",
            "ReadableStream",
            "ReadableStreamBYOBReader",
            "ReadableStreamBYOBRequest",
            "ReadableStreamDefaultController",
            "ReadableStreamDefaultReader",
        ],
    ),
    ("fazt:streams-transform", &["TransformStream", "TransformStreamDefaultController"]),
    (
        "fazt:streams-writable",
        &["WritableStream", "WritableStreamDefaultController", "WritableStreamDefaultWriter"],
    ),
    ("fazt:structured-clone", &["structuredClone"]),
    ("fazt:fetch", &["fetch", "Headers", "Request", "Response"]),
    ("fazt:intl", &["Intl"]),
    ("fazt:main", &["addEventListener", "removeEventListener"]),
    ("fazt:api", &["fazt"]),
    ("fazt:timers", &["setTimeout", "setInterval", "clearTimeout", "clearInterval"]),
    ("fazt:url", &["URL", "URLSearchParams"]),
    ("fazt:url-pattern", &["URLPattern"]),
    ("fazt:web-socket", &["WebSocket", "WebSocketPair"]),
    ("node:buffer", &["Buffer"]),
    ("node:process", &["process"]),
    ("node:timers", &["clearImmediate", "setImmediate"]),
];

/// The `index`th global: (name, module).
pub(crate) fn global(index: usize) -> Option<(&'static str, &'static str)> {
    all().nth(index)
}

/// Every lazy global: (name, module).
pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    GLOBALS.iter().flat_map(|(module, names)| names.iter().map(move |name| (*name, *module)))
}
