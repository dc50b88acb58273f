//! Which permission a call needs. Asked before every call, so that an answer of the owner holds for the next one.

use fazt_ipc::syscall::{Call, CallError, ErrorCode};

use crate::kernel::fs::Release;
use crate::kernel::security::Permission;

/// Refuses a call whose permission the app does not have. What it is about decides, where one call is free in one
/// space and not in another.
pub(super) fn check(release: &Release, call: &Call) -> Result<(), CallError> {
    match call {
        Call::FsRead { .. } | Call::FsList { .. } | Call::FsStat { .. } => Ok(()),
        // The host decides: see `fetch.rs`.
        Call::NetFetch { .. } => Ok(()),
        Call::ProcSchedule { .. }
        | Call::ProcEnqueue { .. }
        | Call::ProcCancel { .. }
        | Call::ProcList {} => need(release, &Permission::Schedule),
        Call::SqlBatch { space, .. } | Call::SqlExec { space, .. } => {
            need(release, &Permission::Sql)?;
            shared(release, space)
        }
        Call::SpacesCreate { .. }
        | Call::SpacesList {}
        | Call::SpacesJoin { .. }
        | Call::SpacesMembers { .. }
        | Call::SpacesAdd { .. }
        | Call::SpacesRemove { .. } => need(release, &Permission::Spaces),
        Call::KvGet { space, .. }
        | Call::KvSet { space, .. }
        | Call::KvDelete { space, .. }
        | Call::KvList { space, .. }
        | Call::DocsGet { space, .. }
        | Call::DocsPut { space, .. }
        | Call::DocsInsert { space, .. }
        | Call::DocsUpdate { space, .. }
        | Call::DocsDelete { space, .. }
        | Call::DocsFind { space, .. }
        | Call::DocsCount { space, .. }
        | Call::DocsBatch { space, .. }
        | Call::BlobsPut { space, .. }
        | Call::BlobsGet { space, .. }
        | Call::BlobsHead { space, .. }
        | Call::BlobsDelete { space, .. }
        | Call::BlobsList { space, .. }
        | Call::UploadsBegin { space, .. }
        | Call::UploadsPart { space, .. }
        | Call::UploadsComplete { space, .. }
        | Call::UploadsAbort { space, .. } => shared(release, space),
    }
}

/// Any space but the caller's own is a permission.
fn shared(release: &Release, space: &str) -> Result<(), CallError> {
    if space == "user" { Ok(()) } else { need(release, &Permission::Spaces) }
}

/// Refuses what the app may not, saying how it would.
pub(super) fn need(release: &Release, permission: &Permission) -> Result<(), CallError> {
    if release.may(permission) { Ok(()) } else { Err(lacking(release, permission)) }
}

/// What an app is told that lacks a permission.
pub(super) fn lacking(release: &Release, permission: &Permission) -> CallError {
    CallError {
        code: ErrorCode::PermissionDenied,
        message: permission.lacking(&release.name, release.asks_for(permission)),
        permission: permission.to_string(),
    }
}
