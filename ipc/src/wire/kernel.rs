//! Messages from the kernel to a worker. The worker trusts them: they come from the one who can kill it.

use serde::{Deserialize, Serialize};

use super::{Fields, kinds};
use crate::ids::{AppId, RequestId};
use crate::syscall::{CallError, Reply};

kinds! {
    /// Types of messages to a worker.
    KernelKind {
        /// Limits and surroundings of the app, once. Body: [`Configure`].
        Configure = 0x01,
        /// Announces a module. Body: [`Module`].
        Module = 0x02,
        /// Bytes of the module announced last, raw, until it is whole.
        ModuleData = 0x03,
        /// Evaluate the app. Body: [`Start`].
        Start = 0x04,
        /// Compile every script module to bytecode instead of running the app. No body.
        Compile = 0x05,
        /// A request. Body: [`Request`]. END: it has no body.
        Request = 0x10,
        /// Bytes of a request's body, raw.
        Body = 0x11,
        /// The client is gone: abort `request.signal`, send nothing more but `Settled`. On the stream of a call: the
        /// rest of its answer will never come. No body.
        Abort = 0x12,
        /// The worker may send so many more bytes of a response body, or of what follows a call. Body: `u32`.
        Credit = 0x13,
        /// Something to do that nobody asked over HTTP: a scheduled run, a job. Body: [`Event`]; its payload follows as
        /// `Body`, JSON. END: it has none.
        Event = 0x14,
        /// Answer to a system call. Body: `Result<Reply, CallError>`. END: no bytes follow.
        Reply = 0x20,
        /// Bytes that belong to an answer, raw.
        ReplyBody = 0x21,
        /// Announces an answer that does not fit a frame: its encoding follows as `ReplyBody` up to the END.
        /// Body: its length, `u32`.
        LongReply = 0x22,
        /// Finish what is running, take nothing new, then exit. No body.
        Drain = 0x30,
    }
}

/// What a worker must know before it loads code. Holds no secret but the app's own variables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Configure {
    /// The app, for `ctx.app`.
    pub app: AppId,
    /// Its name, for `ctx.app`.
    pub app_name: String,
    /// Its version, for `ctx.app`.
    pub app_version: String,
    /// JavaScript heap.
    pub memory_bytes: u64,
    /// CPU time of one request, of the top level, and of each later turn.
    pub cpu_ms: u32,
    /// `ctx.user`: whom this worker serves; none for `anonymous` and `service`.
    pub user: Option<User>,
    /// Variables and secrets for `env`, as text.
    pub env: Vec<(String, String)>,
    /// Names in `env` under which storage is there in a shape of Cloudflare's.
    pub bindings: Vec<(String, BindingKind)>,
    /// `compatibilityDate` of the manifest, `YYYY-MM-DD`.
    pub compatibility_date: String,
    /// Folder of the files that are served as they are, for a binding of [`BindingKind::Assets`]; empty: the top.
    pub assets: String,
    /// Paths that are no file get the assets' `index.html`.
    pub spa: bool,
}

/// Which shape of Cloudflare's a binding has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BindingKind {
    /// Workers KV.
    Kv,
    /// R2.
    R2,
    /// D1.
    D1,
    /// A producer of Queues.
    Queue,
    /// Static assets.
    Assets,
    /// A variable whose text is JSON: what it says is there.
    Json,
}

/// The person a worker serves, as apps see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Stable id.
    pub id: String,
    /// Name to show.
    pub name: String,
    /// Role in this app.
    pub role: String,
}

/// What an import may leave out at its end, in the order in which it is tried.
pub const MODULE_ENDINGS: [&str; 10] =
    ["", ".js", ".ts", ".mjs", ".mts", ".tsx", ".jsx", ".json", "/index.js", "/index.ts"];

/// How to treat a module's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ModuleKind {
    /// ECMAScript module, UTF-8 source.
    Script,
    /// What a worker of this very build made of a script, never anything that an app brought.
    Bytecode,
    /// `export default` of the text.
    Text,
    /// `export default` of the parsed JSON.
    Json,
    /// `export default` of an `ArrayBuffer`.
    Bytes,
}

/// Announces a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module<'a> {
    /// Path inside the app, `/`-separated, relative: also the module's name in stack traces.
    pub path: &'a str,
    /// How to treat it.
    pub kind: ModuleKind,
    /// Bytes that follow in `ModuleData`.
    pub bytes: u32,
}

/// Evaluate the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start<'a> {
    /// Path of the main module.
    pub main: &'a str,
}

/// A request, already judged and cleaned by the kernel: no cookie of Fazt's, no credential meant for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<'a> {
    /// `ctx.requestId`.
    pub id: RequestId,
    /// Method, as sent.
    pub method: &'a str,
    /// Absolute URL as the client sees it.
    pub url: &'a str,
    /// Header fields.
    #[serde(borrow)]
    pub fields: Fields<'a>,
}

/// Which handler an event is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EventKind {
    /// `scheduled`: an entry of the manifest's `cron`, or a run that the app asked for.
    Scheduled,
    /// `queue`: a job.
    Queue,
}

/// Something to do that is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event<'a> {
    /// `ctx.requestId`.
    pub id: RequestId,
    /// Which handler it is for.
    pub kind: EventKind,
    /// Name of the entry of `cron`, or of the queue; empty for a run that the app asked for.
    pub name: &'a str,
    /// The five fields of the entry; empty where there is none.
    pub cron: &'a str,
    /// Id of the run or job.
    pub job: &'a str,
    /// When the run was due; when the job was enqueued. In milliseconds since 1970.
    pub unix_ms: u64,
    /// Counts the attempts, from 1.
    pub attempt: u32,
}

/// Body of `Reply`.
pub type ReplyBody = Result<Reply, CallError>;
