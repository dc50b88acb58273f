//! What another app exports: its documents and blobs, as the same person, in their private space there.
//!
//! The worker says a name, and that is all it says: who asks follows from its socket, what may be had from what the
//! owner granted to the asking app, what the other app exports, and whether the person may use that other app.

use std::sync::Arc;

use fazt_ipc::syscall::{Call, CallError, DocVerb, ErrorCode};

use super::grant;
use crate::kernel::fs::Release;
use crate::kernel::security::{Actor, Permission};

/// What stands in the place of a space when another app is meant; the app's name follows.
const PREFIX: &str = "apps:";

/// What a call touches of another app.
enum Part<'a> {
    Collection(&'a str),
    /// All blobs whose keys begin so.
    Blobs(Vec<&'a str>),
}

/// The name of the other app that a call is about, if it is.
pub(super) fn meant(call: &Call) -> Option<String> {
    parts(call)?.0.strip_prefix(PREFIX).map(str::to_owned)
}

/// The space of a call on storage, what it touches, and whether it changes anything. Parts of no call are exported
/// where there is none.
fn parts(call: &Call) -> Option<(&str, Option<Part<'_>>, bool)> {
    use Part::{Blobs, Collection};
    Some(match call {
        Call::DocsGet { space, collection, .. }
        | Call::DocsFind { space, collection, .. }
        | Call::DocsCount { space, collection, .. } => (space, Some(Collection(collection)), false),
        Call::DocsPut { space, collection, .. }
        | Call::DocsInsert { space, collection, .. }
        | Call::DocsUpdate { space, collection, .. }
        | Call::DocsDelete { space, collection, .. } => (space, Some(Collection(collection)), true),
        Call::DocsBatch { space, collection, changes } => {
            let changes = changes.iter().any(|change| {
                matches!(change.verb, DocVerb::Put | DocVerb::Insert | DocVerb::Update | DocVerb::Delete)
            });
            (space, Some(Collection(collection)), changes)
        }
        Call::BlobsGet { space, key, .. } | Call::BlobsHead { space, key } => {
            (space, Some(Blobs(vec![key])), false)
        }
        Call::BlobsList { space, prefix, .. } => {
            (space, Some(Blobs(vec![prefix.as_deref().unwrap_or_default()])), false)
        }
        Call::BlobsPut { space, key, .. } => (space, Some(Blobs(vec![key])), true),
        Call::BlobsDelete { space, keys } => {
            (space, Some(Blobs(keys.iter().map(String::as_str).collect())), true)
        }
        Call::KvGet { space, .. }
        | Call::KvSet { space, .. }
        | Call::KvDelete { space, .. }
        | Call::KvList { space, .. }
        | Call::UploadsBegin { space, .. }
        | Call::UploadsPart { space, .. }
        | Call::UploadsComplete { space, .. }
        | Call::UploadsAbort { space, .. }
        | Call::SqlBatch { space, .. }
        | Call::SqlExec { space, .. } => (space, None, true),
        _ => return None,
    })
}

/// Leads a call to the other app of that name: whose data it is, and as whom.
pub(super) async fn lead(
    release: &Release,
    actor: Actor,
    name: &str,
    call: Call,
) -> Result<(Arc<Release>, Actor, Call), CallError> {
    let (_, part, write) = parts(&call).unwrap_or(("", None, true));
    let wanted: Permission = format!("{PREFIX}{name}:{}", if write { "write" } else { "read" })
        .parse()
        .map_err(|_| CallError::new(ErrorCode::InvalidArgument, "this is no name of an app"))?;
    if !release.asks_for(&wanted) {
        return Err(grant::lacking(release, &wanted));
    }
    let Some(other) = release.other(name).await else {
        return Err(CallError::new(ErrorCode::NotFound, format!("there is no app `{name}`")));
    };
    if !release.may_use(name, other.app, write) {
        return Err(grant::lacking(release, &wanted));
    }
    let exports = &other.manifest.exports;
    let exported = match &part {
        Some(Part::Collection(collection)) => exports.collection(collection, write),
        Some(Part::Blobs(keys)) => keys.iter().all(|key| exports.blob(key, write)),
        None => false,
    };
    if !exported {
        let how = if write { "write" } else { "read" };
        let what = match part {
            Some(Part::Collection(collection)) => format!("the collection `{}`", shown(collection)),
            Some(Part::Blobs(_)) => "such blobs".into(),
            None => "anything but documents and blobs".into(),
        };
        let message = format!("`{name}` does not let other apps {how} {what}: see `exports` of its app.json");
        return Err(CallError { code: ErrorCode::PermissionDenied, message, permission: String::new() });
    }
    let there = release.follow(actor, &other).await.map_err(|denied| {
        let code = match actor.principal().user() {
            None => ErrorCode::SignInRequired,
            Some(_) => ErrorCode::PermissionDenied,
        };
        CallError { code, message: format!("`{name}`: {denied}"), permission: String::new() }
    })?;
    Ok((other, there, own(call)))
}

fn shown(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_default).collect()
}

/// The same call on the private space.
fn own(mut call: Call) -> Call {
    if let Call::DocsGet { space, .. }
    | Call::DocsFind { space, .. }
    | Call::DocsCount { space, .. }
    | Call::DocsPut { space, .. }
    | Call::DocsInsert { space, .. }
    | Call::DocsUpdate { space, .. }
    | Call::DocsDelete { space, .. }
    | Call::DocsBatch { space, .. }
    | Call::BlobsGet { space, .. }
    | Call::BlobsHead { space, .. }
    | Call::BlobsList { space, .. }
    | Call::BlobsPut { space, .. }
    | Call::BlobsDelete { space, .. } = &mut call
    {
        "user".clone_into(space);
    }
    call
}
