//! The one place where a call for apps is declared.

use serde::{Deserialize, Serialize};

use super::{Argument, Permission, Row};
use crate::egress::{Cache, Redirect};

macro_rules! calls {
    ($(
        $(#[doc = $doc:literal])*
        $variant:ident = $noun:literal . $verb:literal
            ( $($field:ident : $ty:ty = $name:literal $ts:literal),* )
            -> $reply:ty = $returns:literal
            { permission: $permission:ident, sends_body: $sends:literal, returns_body: $gets:literal, bound: $bound:literal }
    )*) => {
        /// A call on its way to the kernel.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Call { $($(#[doc = $doc])* $variant { $(
            #[doc = concat!("`", $name, "`")] $field: $ty),* },)* }

        /// The kernel's answer.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub enum Reply { $($(#[doc = $doc])* $variant($reply),)* }

        impl Call {
            /// The row of this call.
            #[must_use]
            pub fn row(&self) -> &'static Row {
                match self { $(Self::$variant { .. } => &TABLE[Index::$variant as usize],)* }
            }
        }

        enum Index { $($variant,)* }

        /// Every system call.
        pub const TABLE: &[Row] = &[$(Row {
            number: Index::$variant as u32,
            noun: $noun,
            verb: $verb,
            doc: concat!($($doc, "\n"),*),
            arguments: &[$(Argument { name: $name, ts: $ts }),*],
            returns: $returns,
            permission: Permission::$permission,
            sends_body: $sends,
            returns_body: $gets,
            bound: $bound,
        }),*];
    };
}

calls! {
    /// Reads a file that the app was deployed with.
    FsRead = "fs"."read"(path: String = "path" "string")
        -> FileStat = "ArrayBuffer"
        { permission: None, sends_body: false, returns_body: true, bound: true }

    /// Lists a folder of the app's deployed files, sorted by name. Without a path: the top.
    FsList = "fs"."list"(path: Option<String> = "path" "string | undefined")
        -> Vec<DirEntry> = "DirEntry[]"
        { permission: None, sends_body: false, returns_body: false, bound: true }

    /// Says what a deployed file or folder is.
    FsStat = "fs"."stat"(path: String = "path" "string")
        -> FileStat = "FileStat"
        { permission: None, sends_body: false, returns_body: false, bound: true }

    /// Reads the value of a key; null where there is none.
    KvGet = "storage.kv"."get"(space: String = "" "", key: String = "key" "string")
        -> Option<KvHead> = "unknown"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Sets a key to a text, bytes, or anything that can be stored, for a while or for good. With `ifVersion`
    /// only if the key has this version; 0: only if it does not exist. Gives the new version.
    KvSet = "storage.kv"."set"(
        space: String = "" "",
        key: String = "key" "string",
        value: Vec<u8> = "value" "unknown",
        kind: KvKind = "" "",
        options: KvOptions = "options" "{ ttlS?: number, ifVersion?: number, metadata?: unknown } | undefined")
        -> u64 = "number"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Deletes a key. Says whether there was one.
    KvDelete = "storage.kv"."delete"(
        space: String = "" "",
        key: String = "key" "string",
        if_version: Option<u64> = "options" "{ ifVersion?: number } | undefined")
        -> bool = "boolean"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Lists keys in order, a page at a time: 100 unless `limit` (1,000 at most) says otherwise.
    KvList = "storage.kv"."list"(
        space: String = "" "",
        prefix: Option<String> = "options" "{ prefix?: string, limit?: number, cursor?: string } | undefined",
        limit: Option<u32> = "" "",
        cursor: Option<String> = "" "")
        -> Option<String> = "{ keys: KeyInfo[], cursor: string | null }"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Reads a document; null where there is none.
    DocsGet = "storage.docs"."get"(
        space: String = "" "",
        collection: String = "" "",
        id: String = "id" "string")
        -> bool = "Doc | null"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Makes or replaces the document of this `id`. Gives it as it is stored.
    DocsPut = "storage.docs"."put"(
        space: String = "" "",
        collection: String = "" "",
        body: String = "doc" "{ id: string, [field: string]: unknown }",
        if_version: Option<u64> = "options" "{ ifVersion?: number } | undefined")
        -> () = "Doc"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Adds a document; without an `id` it gets one. Gives it as it is stored.
    DocsInsert = "storage.docs"."insert"(
        space: String = "" "",
        collection: String = "" "",
        body: String = "doc" "{ [field: string]: unknown }")
        -> () = "Doc"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Replaces some fields of a document. Gives it as it is stored.
    DocsUpdate = "storage.docs"."update"(
        space: String = "" "",
        collection: String = "" "",
        id: String = "id" "string",
        patch: String = "patch" "{ [field: string]: unknown }",
        if_version: Option<u64> = "options" "{ ifVersion?: number } | undefined")
        -> () = "Doc"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Deletes a document. Says whether there was one.
    DocsDelete = "storage.docs"."delete"(
        space: String = "" "",
        collection: String = "" "",
        id: String = "id" "string",
        if_version: Option<u64> = "options" "{ ifVersion?: number } | undefined")
        -> bool = "boolean"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Finds documents, a page at a time: 100 unless `limit` (1,000 at most) says otherwise.
    DocsFind = "storage.docs"."find"(
        space: String = "" "",
        collection: String = "" "",
        filter: Option<String> = "query" "{ where?: Where, order?: Order, limit?: number, cursor?: string } | undefined",
        order: Vec<(String, bool)> = "" "",
        limit: Option<u32> = "" "",
        cursor: Option<String> = "" "")
        -> Option<String> = "{ items: Doc[], cursor: string | null }"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Counts documents.
    DocsCount = "storage.docs"."count"(
        space: String = "" "",
        collection: String = "" "",
        filter: Option<String> = "where" "Where | undefined")
        -> u64 = "number"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Makes several changes, all or none. Gives each document as it is stored, null for a deletion.
    DocsBatch = "storage.docs"."batch"(
        space: String = "" "",
        collection: String = "" "",
        changes: Vec<DocChange> = "changes" "Change[]")
        -> () = "(Doc | null)[]"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Makes or replaces a blob: bytes of any length, as they come. The content type of a `Blob` is kept unless
    /// another is given; `meta` is anything that JSON can say.
    BlobsPut = "storage.blobs"."put"(
        space: String = "" "",
        key: String = "key" "string",
        sums: Vec<String> = "body" "string | ArrayBuffer | ArrayBufferView | Blob | ReadableStream | Request | Response",
        options: Box<BlobOptions> = "options" "{ contentType?: string, meta?: unknown } | undefined")
        -> Option<BlobHead> = "BlobInfo"
        { permission: None, sends_body: true, returns_body: false, bound: false }

    /// Reads a blob, or a range of it; null where there is none. Its bytes come as they are read.
    BlobsGet = "storage.blobs"."get"(
        space: String = "" "",
        key: String = "key" "string",
        range: Option<BlobRange> = "options" "{ range?: { offset?: number, length?: number } | { suffix: number } } | undefined",
        only_if: Option<BlobConditions> = "" "")
        -> Option<BlobFound> = "BlobBody | null"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Says what is known of a blob; null where there is none.
    BlobsHead = "storage.blobs"."head"(space: String = "" "", key: String = "key" "string")
        -> Option<BlobHead> = "BlobInfo | null"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Deletes a blob, or several (1,000 at most). Says how many there were.
    BlobsDelete = "storage.blobs"."delete"(space: String = "" "", keys: Vec<String> = "keys" "string | string[]")
        -> u32 = "number"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Lists blobs in order of their keys, a page at a time: 100 unless `limit` (1,000 at most) says otherwise.
    /// With a `delimiter`, keys that hold it after the prefix are given as their starts in `prefixes`.
    BlobsList = "storage.blobs"."list"(
        space: String = "" "",
        prefix: Option<String> = "options" "{ prefix?: string, delimiter?: string, limit?: number, cursor?: string } | undefined",
        delimiter: Option<String> = "" "",
        after: Option<String> = "" "",
        limit: Option<u32> = "" "",
        cursor: Option<String> = "" "")
        -> Option<String> = "{ blobs: BlobInfo[], prefixes: string[], cursor: string | null }"
        { permission: None, sends_body: false, returns_body: true, bound: false }

    /// Begins an upload in parts.
    UploadsBegin = "storage.uploads"."begin"(
        space: String = "" "",
        key: String = "key" "string",
        options: Box<BlobOptions> = "options" "object")
        -> String = "string"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Keeps a part of an upload. Gives its etag.
    UploadsPart = "storage.uploads"."part"(
        space: String = "" "",
        key: String = "key" "string",
        upload: String = "upload" "string",
        number: u32 = "number" "number")
        -> String = "string"
        { permission: None, sends_body: true, returns_body: false, bound: false }

    /// Makes a blob of the parts of an upload.
    UploadsComplete = "storage.uploads"."complete"(
        space: String = "" "",
        key: String = "key" "string",
        upload: String = "upload" "string",
        parts: Vec<(u32, String)> = "parts" "[number, string][]")
        -> Option<BlobHead> = "BlobInfo"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Gives an upload up.
    UploadsAbort = "storage.uploads"."abort"(
        space: String = "" "",
        key: String = "key" "string",
        upload: String = "upload" "string")
        -> () = "void"
        { permission: None, sends_body: false, returns_body: false, bound: false }

    /// Makes a named space, of which the caller is the manager.
    SpacesCreate = "storage.spaces"."create"(name: String = "name" "string")
        -> SpaceReply = "SpaceInfo"
        { permission: Spaces, sends_body: false, returns_body: false, bound: false }

    /// Lists the named spaces that the caller is a member of.
    SpacesList = "storage.spaces"."list"()
        -> () = "SpaceInfo[]"
        { permission: Spaces, sends_body: false, returns_body: true, bound: false }

    /// Uses up an invitation code.
    SpacesJoin = "storage.spaces"."join"(code: String = "code" "string")
        -> SpaceReply = "SpaceInfo"
        { permission: Spaces, sends_body: false, returns_body: false, bound: false }

    /// Lists who is in a space. For its members.
    SpacesMembers = "storage.spaces"."members"(space: String = "space" "string")
        -> Vec<MemberReply> = "{ user: string, role: Role }[]"
        { permission: Spaces, sends_body: false, returns_body: false, bound: false }

    /// Makes an invitation code, good once and for a week; or, with `user`, changes the role of a member. For
    /// managers.
    SpacesAdd = "storage.spaces"."add"(
        space: String = "space" "string",
        role: SpaceRole = "role" "Role",
        user: Option<String> = "user" "string | undefined")
        -> Option<String> = "string | null"
        { permission: Spaces, sends_body: false, returns_body: false, bound: false }

    /// Takes a member out of a space. For managers; everybody may leave.
    SpacesRemove = "storage.spaces"."remove"(space: String = "space" "string", user: String = "user" "string")
        -> () = "void"
        { permission: Spaces, sends_body: false, returns_body: false, bound: false }

    /// Runs statements on a database of the app's own SQL: one by itself, several all or none. Changes are on the disk
    /// when it is answered.
    SqlBatch = "storage.sql"."batch"(
        space: String = "" "",
        binding: Option<String> = "" "",
        statements: Vec<SqlStatement> = "statements" "SqlStatement[]")
        -> Option<SqlFailure> = "SqlResult[]"
        { permission: Sql, sends_body: false, returns_body: true, bound: false }

    /// Runs a script of statements that bind nothing: all of them or none.
    SqlExec = "storage.sql"."exec"(
        space: String = "" "",
        binding: Option<String> = "" "",
        scripts: Vec<String> = "script" "string")
        -> Option<SqlFailure> = "{ count: number, duration: number }"
        { permission: Sql, sends_body: false, returns_body: true, bound: false }

    /// Sends a request to another server: the global `fetch`.
    NetFetch = "net"."fetch"(
        method: String = "method" "string",
        url: String = "url" "string",
        fields: Vec<(String, Vec<u8>)> = "headers" "Headers",
        redirect: Redirect = "" "",
        cache: Cache = "" "")
        -> FetchReply = "Response"
        { permission: NetHost, sends_body: true, returns_body: true, bound: false }

    /// Runs the app's `scheduled` once, later: at a `Date`, at milliseconds since 1970, or so many seconds from now.
    /// Gives an id. The payload is anything that JSON can say, and comes as `event.payload`.
    ProcSchedule = "proc"."schedule"(
        when: JobTime = "when" "Date | number | { inS: number }",
        payload: Option<String> = "payload" "unknown | undefined")
        -> String = "string"
        { permission: Schedule, sends_body: false, returns_body: false, bound: true }

    /// Gives the app's `queue` a job, now or after `delayS` seconds. Gives an id.
    ProcEnqueue = "proc"."enqueue"(
        queue: String = "name" "string",
        jobs: Vec<NewJob> = "payload" "unknown | undefined",
        delay_ms: Option<u64> = "options" "{ delayS?: number } | undefined")
        -> Vec<String> = "string"
        { permission: Schedule, sends_body: false, returns_body: false, bound: true }

    /// Takes back a run or job that waits, or throws away a dead letter. Says whether there was one.
    ProcCancel = "proc"."cancel"(id: String = "id" "string")
        -> bool = "boolean"
        { permission: Schedule, sends_body: false, returns_body: false, bound: true }

    /// Lists the app's runs and jobs that wait, run or are dead, a thousand at most, next ones first.
    ProcList = "proc"."list"()
        -> Vec<JobReply> = "Job[]"
        { permission: Schedule, sends_body: false, returns_body: false, bound: true }
}

/// When a run is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobTime {
    /// In milliseconds since 1970; none: after `in_ms`.
    pub unix_ms: Option<u64>,
    /// Milliseconds from now.
    pub in_ms: Option<u64>,
}

/// A job to enqueue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewJob {
    /// JSON.
    pub payload: String,
    /// Milliseconds until it is due; none: as the call says for all.
    pub delay_ms: Option<u64>,
}

/// What something that waits is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobKind {
    /// A run of `scheduled`.
    Run,
    /// A job for `queue`.
    Job,
}

/// Where a run or job is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobState {
    /// For its time.
    Waiting,
    /// The app has it.
    Running,
    /// It failed for good.
    Dead,
}

/// A run or job as its app sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReply {
    /// Its id.
    pub id: String,
    /// What it is.
    pub kind: JobKind,
    /// Name of the queue, or of the entry of `cron`; empty for a run that the app asked for.
    pub name: String,
    /// Where it is in its life.
    pub state: JobState,
    /// When it is due, in milliseconds since 1970.
    pub due: u64,
    /// Attempts that were made.
    pub attempts: u32,
    /// Why the last one failed; empty: it did not.
    pub error: String,
}

/// Kind of a directory entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EntryKind {
    /// A file.
    File,
    /// A folder.
    Dir,
}

/// One entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirEntry {
    /// Name, without the folder.
    pub name: String,
    /// Kind.
    pub kind: EntryKind,
    /// Size; 0 for a folder.
    pub bytes: u64,
}

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStat {
    /// Path as deployed.
    pub path: String,
    /// Kind.
    pub kind: EntryKind,
    /// Size; 0 for a folder.
    pub bytes: u64,
    /// SHA-256 of the content in hexadecimal; empty for a folder.
    pub sha256: String,
    /// Media type; empty for a folder.
    pub media_type: String,
}

/// What a value of `kv` was when it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KvKind {
    /// Anything that can be stored, as JSON.
    Json,
    /// A text.
    Text,
    /// Bytes.
    Bytes,
}

/// A value of `kv`, whose bytes follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KvHead {
    /// What it was.
    pub kind: KvKind,
    /// Counts the changes of this key, from 1.
    pub version: u64,
    /// JSON kept beside it.
    pub metadata: Option<String>,
    /// When it will be gone, in milliseconds since 1970.
    pub expires: Option<u64>,
}

/// How a key is set.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KvOptions {
    /// Seconds until it is gone.
    pub ttl_s: Option<u64>,
    /// When it is gone, in seconds since 1970; counts before `ttl_s`. What Workers KV has.
    pub expires_s: Option<u64>,
    /// The version that it must have; 0: it must not exist.
    pub if_version: Option<u64>,
    /// JSON to keep beside it.
    pub metadata: Option<String>,
}

/// What a change of a batch does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DocVerb {
    /// Makes or replaces.
    Put,
    /// Adds.
    Insert,
    /// Replaces some fields.
    Update,
    /// Deletes.
    Delete,
}

/// A change of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocChange {
    /// What it does.
    pub verb: DocVerb,
    /// Which document, for `update` and `delete`.
    pub id: Option<String>,
    /// JSON, but for `delete`.
    pub body: Option<String>,
    /// The version that the document must have; 0: it must not exist.
    pub if_version: Option<u64>,
}

/// What goes with the bytes of a blob.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlobOptions {
    /// Content type and the like, as JSON.
    pub http: Option<String>,
    /// The app's own, as JSON.
    pub meta: Option<String>,
    /// Nothing is done unless this holds.
    pub only_if: Option<BlobConditions>,
    /// Name of a checksum and what it must be, in hexadecimal digits.
    pub expect: Option<(String, String)>,
}

/// What must hold of a blob that is there.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlobConditions {
    /// One of these etags; `*`: any.
    pub matches: Option<Vec<String>>,
    /// None of these etags.
    pub differs: Option<Vec<String>>,
    /// Not changed after this, in milliseconds since 1970.
    pub before: Option<u64>,
    /// Changed after this.
    pub after: Option<u64>,
    /// Times count in whole seconds.
    pub seconds: bool,
}

/// Which bytes of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BlobRange {
    /// From here.
    pub offset: Option<u64>,
    /// At most so many.
    pub length: Option<u64>,
    /// Instead: the last ones.
    pub suffix: Option<u64>,
}

/// A blob without its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobHead {
    /// Its key.
    pub key: String,
    /// Made anew with each put.
    pub version: String,
    /// Bytes.
    pub size: u64,
    /// Changes with the bytes.
    pub etag: String,
    /// When it was put, in milliseconds since 1970.
    pub uploaded: u64,
    /// Content type and the like, as JSON.
    pub http: Option<String>,
    /// The app's own, as JSON.
    pub meta: Option<String>,
    /// Checksums, as JSON.
    pub sums: Option<String>,
}

/// A blob whose bytes follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobFound {
    /// What is known of it.
    pub head: BlobHead,
    /// Whether the bytes follow: the conditions held.
    pub body: bool,
    /// Where the bytes start.
    pub offset: u64,
    /// How many there are.
    pub length: u64,
}

/// What a member of a space may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SpaceRole {
    /// Read.
    Reader,
    /// Read and write.
    Writer,
    /// Read, write and say who is a member.
    Manager,
}

/// A named space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceReply {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What the caller may do there.
    pub role: SpaceRole,
}

/// A member of a space.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberReply {
    /// The person's id.
    pub user: String,
    /// What they may do.
    pub role: SpaceRole,
}

/// A statement and what it binds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlStatement {
    /// As the app wrote it.
    pub sql: String,
    /// A JSON list of values; empty: none.
    pub values: String,
}

/// Which statement is wrong, and how: nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlFailure {
    /// From 0.
    pub at: u32,
    /// The exception's `name`.
    pub code: String,
    /// SQLite's own, with its code.
    pub message: String,
}

/// Head of another server's response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchReply {
    /// Status.
    pub status: u16,
    /// URL after redirects.
    pub url: String,
    /// It came by a redirect.
    pub redirected: bool,
    /// Header fields.
    pub fields: Vec<(String, Vec<u8>)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_indices_of_the_variants() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.number as usize, index, "{}.{}", row.noun, row.verb);
        }
        let call = Call::FsStat { path: "a".into() };
        assert_eq!((call.row().noun, call.row().verb), ("fs", "stat"));
        let mut bytes = Vec::new();
        crate::codec::encode(&call, &mut bytes).expect("small");
        assert_eq!(bytes, [2, 1, b'a'], "number, then the arguments");
    }
}
