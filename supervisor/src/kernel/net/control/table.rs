//! Every operation on the server, once. Routes, the check of who may, the audit log and the OpenAPI description
//! follow from it; the command line calls nothing that is not here. `security/commander.rs` says what each need
//! means for which token.

use axum::routing::{MethodRouter, delete, get, post, put};
use fazt_ipc::control::{
    AddedUser, Admission, App, AuditLine, CertificateList, Changed, Checked, CollectionInfo, Consent,
    DeployPlan, DeployTicket, Deployed, Doctor, EgressLine, EnvChange, EnvList, Explanation, GrantChange,
    GrantList, Install, InstallLine, JobInfo, Listing, LogLine, MadeToken, Myself, NewInvite, NewLink,
    NewPassword, NewRole, NewToken, NewUser, Process, Rename, Review, Rollback, RunInfo, ScheduleInfo,
    SessionInfo, SignInLink, Status, StoragePage, StorageQuery, StorageUse, TokenInfo, TraceLine, Update,
    UserInfo, Version,
};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use super::{
    Control, apps, deploys, env, files, follow, grants, installs, openapi, people, schedule, server, storage,
};
use crate::kernel::security::Need;

/// Makes the schema of a type.
pub(super) type Shape = fn(&mut SchemaGenerator) -> Schema;

/// How an operation is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
    Put,
    Delete,
}

/// What an operation is sent.
#[derive(Clone, Copy)]
pub(super) enum Takes {
    Nothing,
    Json(Shape),
    /// This, or nothing.
    Maybe(Shape),
    /// The content of a file.
    Bytes,
}

/// What an operation answers.
#[derive(Clone, Copy)]
pub(super) enum Gives {
    /// `{}`
    Nothing,
    Json(Shape),
    /// A document of any shape.
    Document,
    /// Newline-separated JSON, as it comes.
    Lines(Shape),
    /// Bytes of this media type.
    Bytes(&'static str),
    Text,
}

/// A parameter in the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// A type of JSON Schema.
    pub(super) kind: &'static str,
    pub(super) about: &'static str,
}

/// An operation.
pub(super) struct Operation {
    pub(super) verb: Verb,
    /// Path, with what it names in braces; the first of them is what the operation is about.
    pub(super) path: &'static str,
    /// What the audit log and the description call it.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) need: Need,
    pub(super) query: &'static [Parameter],
    pub(super) takes: Takes,
    pub(super) gives: Gives,
    pub(super) audit: Audit,
    pub(super) route: fn() -> MethodRouter<std::sync::Arc<Control>>,
}

/// Who writes an operation into the audit log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audit {
    /// Nobody: it changes nothing, or is a step of something that is written down.
    Nobody,
    /// Whoever routes it.
    Route,
    /// `security`, which knows more about it.
    Identity,
}

const fn operation(
    verb: Verb,
    path: &'static str,
    name: &'static str,
    about: &'static str,
    need: Need,
    gives: Gives,
    route: fn() -> MethodRouter<std::sync::Arc<Control>>,
) -> Operation {
    let audit = if matches!(verb, Verb::Get) { Audit::Nobody } else { Audit::Route };
    Operation { verb, path, name, about, need, query: &[], takes: Takes::Nothing, gives, audit, route }
}

impl Operation {
    const fn takes(mut self, takes: Takes) -> Self {
        self.takes = takes;
        self
    }

    const fn query(mut self, query: &'static [Parameter]) -> Self {
        self.query = query;
        self
    }

    const fn audit(mut self, audit: Audit) -> Self {
        self.audit = audit;
        self
    }
}

fn shape<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

const fn json<T: JsonSchema>() -> Gives {
    Gives::Json(shape::<T>)
}

const fn lines<T: JsonSchema>() -> Gives {
    Gives::Lines(shape::<T>)
}

const fn body<T: JsonSchema>() -> Takes {
    Takes::Json(shape::<T>)
}

const fn parameter(name: &'static str, kind: &'static str, about: &'static str) -> Parameter {
    Parameter { name, kind, about }
}

const SINCE: &[Parameter] = &[
    parameter("since_ms", "integer", "Not older than this, in milliseconds since 1970."),
    parameter("follow", "boolean", "Go on as lines come."),
];
const PATH: &[Parameter] = &[parameter("path", "string", "Path inside the app; empty: the top.")];
const APP: &[Parameter] = &[parameter("app", "string", "Of this app alone.")];
const DEAD: &[Parameter] = &[parameter("dead", "boolean", "Those that failed for good.")];
const KEEP: &[Parameter] = &[parameter("keep_data", "boolean", "Keep what it stored.")];

use Audit::{Identity, Nobody};
use Gives::{Bytes, Document, Nothing, Text};
use Verb::{Delete, Get, Post, Put};

/// Every operation.
pub(super) static TABLE: &[Operation] = &[
    operation(Get, "/api/openapi.json", "api.describe", "This description.", Need::Nothing, Document, || {
        get(openapi::describe)
    }),
    operation(
        Get,
        "/api/me",
        "api.me",
        "Who commands, as the server sees them.",
        Need::Token,
        json::<Myself>(),
        || get(people::me),
    ),
    operation(
        Get,
        "/api/status",
        "server.status",
        "How the server is.",
        Need::Server,
        json::<Status>(),
        || get(server::status),
    ),
    operation(Post, "/api/stop", "server.stop", "Drains and ends the server.", Need::Server, Nothing, || {
        post(server::stop)
    }),
    operation(
        Get,
        "/api/processes",
        "server.processes",
        "Processes of apps.",
        Need::Server,
        json::<Vec<Process>>(),
        || get(server::processes),
    ),
    operation(Get, "/api/doctor", "server.doctor", "Tries escapes.", Need::Console, json::<Doctor>(), || {
        get(server::doctor)
    }),
    operation(
        Get,
        "/metrics",
        "server.metrics-here",
        "Counters, for Prometheus.",
        Need::Console,
        Text,
        || get(server::metrics),
    ),
    operation(Get, "/api/metrics", "server.metrics", "Counters, for Prometheus.", Need::Server, Text, || {
        get(server::metrics)
    }),
    operation(Get, "/api/apps", "app.list", "Every app.", Need::Server, json::<Vec<App>>(), || {
        get(apps::list)
    }),
    operation(Get, "/api/apps/{app}", "app.info", "One app.", Need::App, json::<App>(), || get(apps::one)),
    operation(Delete, "/api/apps/{app}", "app.remove", "Takes an app away.", Need::Server, Nothing, || {
        delete(apps::remove)
    })
    .query(KEEP),
    operation(
        Post,
        "/api/apps/{app}/rename",
        "app.rename",
        "Gives an app another name.",
        Need::Server,
        json::<App>(),
        || post(apps::rename),
    )
    .takes(body::<Rename>()),
    operation(
        Post,
        "/api/apps/{app}/kill",
        "app.kill",
        "Kills its processes.",
        Need::App,
        json::<Changed>(),
        || post(apps::kill),
    ),
    operation(
        Post,
        "/api/apps/{app}/hibernate",
        "app.hibernate",
        "Ends its processes when their requests are answered.",
        Need::App,
        json::<Changed>(),
        || post(apps::hibernate),
    ),
    operation(
        Post,
        "/api/apps/{app}/wake",
        "app.wake",
        "Starts it; lifts back-off and quarantine.",
        Need::App,
        json::<Changed>(),
        || post(apps::wake),
    ),
    operation(
        Post,
        "/api/apps/{app}/restart",
        "app.restart",
        "Gives it new processes.",
        Need::App,
        json::<Changed>(),
        || post(apps::restart),
    ),
    operation(
        Get,
        "/api/apps/{app}/versions",
        "app.versions",
        "Its versions that are kept, newest first.",
        Need::App,
        json::<Vec<Version>>(),
        || get(apps::versions),
    ),
    operation(
        Post,
        "/api/apps/{app}/rollback",
        "app.rollback",
        "Makes an older version live again.",
        Need::Deploy,
        json::<Version>(),
        || post(apps::rollback),
    )
    .takes(body::<Rollback>()),
    operation(
        Post,
        "/api/apps/{app}/deploys",
        "app.plan",
        "First step of a deploy: its list of files. Makes the app if there is none (with `admin`).",
        Need::Deploy,
        json::<DeployTicket>(),
        || post(deploys::plan),
    )
    .takes(body::<DeployPlan>())
    .audit(Nobody),
    operation(
        Put,
        "/api/deploys/{deploy}/files/{sha256}",
        "app.send",
        "Second step, once for each missing content.",
        Need::Deploy,
        Nothing,
        || put(deploys::put),
    )
    .takes(Takes::Bytes)
    .audit(Nobody),
    operation(
        Post,
        "/api/deploys/{deploy}/commit",
        "app.deploy",
        "Last step: makes the version live. With a consent the permissions that it asks for are answered, by whoever has the scope `admin`; without one a version that asks for more than before is refused.",
        Need::Deploy,
        json::<Deployed>(),
        || post(deploys::commit),
    )
    .takes(Takes::Maybe(shape::<Consent>)),
    operation(
        Get,
        "/api/deploys/{deploy}",
        "app.review",
        "What it would make live, and what that asks for.",
        Need::Deploy,
        json::<Review>(),
        || get(deploys::review),
    ),
    operation(
        Delete,
        "/api/deploys/{deploy}",
        "app.abort",
        "Throws a deploy away.",
        Need::Deploy,
        Nothing,
        || delete(deploys::abort),
    )
    .audit(Nobody),
    operation(
        Post,
        "/api/installs",
        "app.install",
        "Fetches an app from elsewhere, line by line how far it has come; what comes of it is an open deploy.",
        Need::Server,
        lines::<InstallLine>(),
        || post(installs::install),
    )
    .takes(body::<Install>()),
    operation(
        Post,
        "/api/apps/{app}/updates",
        "app.update",
        "Fetches a new version of an app that came from elsewhere; what comes of it is an open deploy.",
        Need::Deploy,
        lines::<InstallLine>(),
        || post(installs::update),
    )
    .takes(body::<Update>()),
    operation(
        Get,
        "/api/apps/{app}/grants",
        "grant.list",
        "What it asks for, and what was said to it.",
        Need::App,
        json::<GrantList>(),
        || get(grants::list),
    ),
    operation(
        Post,
        "/api/apps/{app}/grants",
        "grant.change",
        "Gives it permissions that it asks for, and takes others away.",
        Need::Server,
        json::<GrantList>(),
        || post(grants::change),
    )
    .takes(body::<GrantChange>()),
    operation(Get, "/api/apps/{app}/env", "env.list", "Its variables.", Need::App, json::<EnvList>(), || {
        get(env::list)
    }),
    operation(
        Post,
        "/api/apps/{app}/env",
        "env.change",
        "Sets variables and takes others away.",
        Need::Deploy,
        json::<EnvList>(),
        || post(env::change),
    )
    .takes(body::<EnvChange>()),
    operation(
        Get,
        "/api/apps/{app}/files",
        "file.list",
        "What a path of its live version is, and what is in it.",
        Need::App,
        json::<Listing>(),
        || get(files::list),
    )
    .query(PATH),
    operation(
        Get,
        "/api/apps/{app}/file",
        "file.read",
        "A file of its live version.",
        Need::App,
        Bytes("application/octet-stream"),
        || get(files::read),
    )
    .query(PATH),
    operation(
        Get,
        "/api/apps/{app}/logs",
        "app.logs",
        "What it said.",
        Need::App,
        lines::<LogLine>(),
        || get(follow::logs),
    )
    .query(SINCE),
    operation(
        Get,
        "/api/apps/{app}/trace",
        "app.trace",
        "Messages between the server and its processes, as they pass.",
        Need::App,
        lines::<TraceLine>(),
        || get(follow::trace),
    ),
    operation(
        Get,
        "/api/apps/{app}/egress",
        "net.egress",
        "What an app reached elsewhere, and what it was refused.",
        Need::App,
        lines::<EgressLine>(),
        || get(follow::egress),
    )
    .query(SINCE),
    operation(
        Get,
        "/api/certificates",
        "net.certs",
        "What the server is known by over TLS.",
        Need::Server,
        json::<CertificateList>(),
        || get(server::certificates),
    ),
    operation(
        Get,
        "/api/schedules",
        "schedule.list-all",
        "When apps are due to do something by themselves.",
        Need::Server,
        json::<Vec<ScheduleInfo>>(),
        || get(schedule::all),
    ),
    operation(
        Get,
        "/api/apps/{app}/schedules",
        "schedule.list",
        "When it is due to do something by itself.",
        Need::App,
        json::<Vec<ScheduleInfo>>(),
        || get(schedule::schedules),
    ),
    operation(
        Post,
        "/api/apps/{app}/schedules/{schedule}/run",
        "schedule.run",
        "Runs an entry of its `cron` now, and waits for what becomes of it.",
        Need::Deploy,
        json::<RunInfo>(),
        || post(schedule::run),
    ),
    operation(
        Get,
        "/api/apps/{app}/runs",
        "schedule.runs",
        "What it did by itself, newest first.",
        Need::App,
        json::<Vec<RunInfo>>(),
        || get(schedule::runs),
    ),
    operation(
        Get,
        "/api/apps/{app}/jobs",
        "job.list",
        "Its runs and jobs that wait, or are dead.",
        Need::App,
        json::<Vec<JobInfo>>(),
        || get(schedule::jobs),
    )
    .query(DEAD),
    operation(
        Post,
        "/api/apps/{app}/jobs/{job}/retry",
        "job.retry",
        "Tries a dead one again.",
        Need::Deploy,
        Nothing,
        || post(schedule::retry),
    ),
    operation(
        Delete,
        "/api/apps/{app}/jobs/{job}",
        "job.discard",
        "Throws one away.",
        Need::Deploy,
        Nothing,
        || delete(schedule::discard),
    ),
    operation(
        Get,
        "/api/storage",
        "storage.usage",
        "What each app stores.",
        Need::Server,
        json::<Vec<StorageUse>>(),
        || get(storage::usage),
    ),
    operation(
        Get,
        "/api/storage/check",
        "storage.check",
        "Whether databases are sound.",
        Need::Server,
        json::<Vec<Checked>>(),
        || get(storage::check),
    )
    .query(APP),
    operation(
        Get,
        "/api/apps/{app}/collections",
        "storage.collections",
        "Its collections.",
        Need::App,
        json::<Vec<CollectionInfo>>(),
        || get(storage::collections),
    ),
    operation(
        Post,
        "/api/apps/{app}/query",
        "storage.query",
        "Documents as somebody sees them.",
        Need::Server,
        json::<StoragePage<Value>>(),
        || post(storage::query),
    )
    .takes(body::<StorageQuery<Value>>())
    .audit(Identity),
    operation(
        Post,
        "/api/apps/{app}/explain",
        "storage.explain",
        "What the security layer makes of a query.",
        Need::Server,
        json::<Explanation>(),
        || post(storage::explain),
    )
    .takes(body::<StorageQuery<Value>>())
    .audit(Identity),
    operation(
        Get,
        "/api/users/{user}/export",
        "storage.export-user",
        "Everything that a user owns in every app.",
        Need::Server,
        Bytes("application/x-tar"),
        || get(storage::export_user),
    ),
    operation(Get, "/api/users", "user.list", "Every user.", Need::Server, json::<Vec<UserInfo>>(), || {
        get(people::list)
    }),
    operation(
        Post,
        "/api/users",
        "user.add",
        "Adds a user; answers the link with which they choose a password.",
        Need::Server,
        json::<AddedUser>(),
        || post(people::add),
    )
    .takes(body::<NewUser>())
    .audit(Identity),
    operation(Delete, "/api/users/{user}", "user.remove", "Removes a user.", Need::Server, Nothing, || {
        delete(people::remove)
    })
    .audit(Identity),
    operation(
        Post,
        "/api/users/{user}/password",
        "user.password",
        "Sets a password; ends the user's sessions, links, tokens and passkeys.",
        Need::Server,
        Nothing,
        || post(people::password),
    )
    .takes(body::<NewPassword>())
    .audit(Identity),
    operation(
        Post,
        "/api/users/{user}/link",
        "user.link",
        "Makes a link with which a user chooses another password.",
        Need::Server,
        json::<SignInLink>(),
        || post(people::link),
    )
    .takes(body::<NewLink>())
    .audit(Identity),
    operation(
        Post,
        "/api/users/{user}/role",
        "user.role",
        "Says what a user may do; what runs for them ends.",
        Need::Server,
        json::<UserInfo>(),
        || post(people::role),
    )
    .takes(body::<NewRole>())
    .audit(Identity),
    operation(
        Post,
        "/api/users/{user}/apps",
        "user.apps",
        "Says which apps for members a user may use.",
        Need::Server,
        json::<UserInfo>(),
        || post(people::admit),
    )
    .takes(body::<Admission>())
    .audit(Identity),
    operation(
        Get,
        "/api/users/{user}/sessions",
        "user.sessions",
        "A user's sessions.",
        Need::Server,
        json::<Vec<SessionInfo>>(),
        || get(people::sessions),
    ),
    operation(
        Delete,
        "/api/sessions/{session}",
        "session.revoke",
        "Ends a session.",
        Need::Server,
        Nothing,
        || delete(people::revoke),
    )
    .audit(Identity),
    operation(
        Post,
        "/api/invites",
        "user.invite",
        "Makes a link with which somebody becomes a user.",
        Need::Server,
        json::<SignInLink>(),
        || post(people::invite),
    )
    .takes(body::<NewInvite>())
    .audit(Identity),
    operation(
        Get,
        "/api/tokens",
        "token.list",
        "Every API token, but not itself.",
        Need::Server,
        json::<Vec<TokenInfo>>(),
        || get(people::tokens),
    ),
    operation(Post, "/api/tokens", "token.new", "Makes a token.", Need::Server, json::<MadeToken>(), || {
        post(people::new_token)
    })
    .takes(body::<NewToken>())
    .audit(Identity),
    operation(Delete, "/api/tokens/{token}", "token.rm", "Removes a token.", Need::Server, Nothing, || {
        delete(people::remove_token)
    })
    .audit(Identity),
    operation(
        Get,
        "/api/audit",
        "audit.read",
        "What was decided.",
        Need::Server,
        lines::<AuditLine>(),
        || get(people::audit),
    )
    .query(SINCE),
];
