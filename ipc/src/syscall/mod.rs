//! System calls: the whole of what an app can do. Each is declared once, in [`table`]; the worker binds from
//! it, the supervisor matches [`Call`] exhaustively, and `apps/types/fazt.d.ts` and the API page are generated
//! from [`TABLE`].

mod error;
pub mod generate;
mod table;

pub use error::{CallError, ErrorCode};
pub use table::{
    BlobConditions, BlobFound, BlobHead, BlobOptions, BlobRange, Call, DirEntry, DocChange, DocVerb,
    EntryKind, FetchReply, FileStat, JobKind, JobReply, JobState, JobTime, KvHead, KvKind, KvOptions,
    MemberReply, NewJob, Reply, SpaceReply, SpaceRole, SqlFailure, SqlStatement, TABLE,
};

/// What a call needs beyond being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Nothing: every app may.
    None,
    /// A grant for the host that the argument names: `net:HOST`.
    NetHost,
    /// `spaces`, for the app space and named spaces; the caller's own needs nothing.
    Spaces,
    /// `schedule`.
    Schedule,
    /// `sql`; outside the caller's own space `spaces` too.
    Sql,
}

/// One argument of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Argument {
    /// Name in JavaScript; empty: it follows from the object that the call is made on.
    pub name: &'static str,
    /// Type in TypeScript.
    pub ts: &'static str,
}

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Number on the wire: the index of the variant of [`Call`] and [`Reply`].
    pub number: u32,
    /// Kernel noun: `fazt.<noun>`.
    pub noun: &'static str,
    /// Verb: `fazt.<noun>.<verb>`.
    pub verb: &'static str,
    /// First paragraph for people.
    pub doc: &'static str,
    /// Arguments in order.
    pub arguments: &'static [Argument],
    /// What the promise resolves to, in TypeScript.
    pub returns: &'static str,
    /// What it needs.
    pub permission: Permission,
    /// The caller sends bytes after the call.
    pub sends_body: bool,
    /// Bytes follow the reply.
    pub returns_body: bool,
    /// Bound as `fazt.<noun>.<verb>`; otherwise the runtime uses it behind a web API.
    pub bound: bool,
}
