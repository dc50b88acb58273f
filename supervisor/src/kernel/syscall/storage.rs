//! `fazt.storage.*`: turns calls into requests of `storage`, and what it says into answers. Names of spaces and
//! people are an app's word: what they open is decided below.

use bytes::Bytes;
use fazt_ipc::ids::{SpaceId, UserId};
use fazt_ipc::limits::FRAME_BODY_BYTES_MAX;
use fazt_ipc::syscall::{
    Call, CallError, DocChange, DocVerb, ErrorCode, KvHead, KvKind, KvOptions, MemberReply, Reply,
    SpaceReply, SpaceRole,
};

use super::{Answer, Whole, WholeAnswer};
use crate::kernel::security::Actor;
use crate::kernel::storage::data::{
    self, Data, DataError, DocCall, DocWrite, Find, KvCall, Request, Response, Role, SpaceCall, SpaceInfo,
    SpaceName,
};

/// Answers a call of storage. There is none of another noun here.
pub(super) async fn answer(data: &Data, actor: Actor, call: Call) -> Result<Answer, CallError> {
    let shape = Shape::of(&call);
    let request = request(call)?;
    let response = data.call(actor, request).await.map_err(outsider)?;
    shape.answer(response)
}

/// Answers a call of storage that only reads, if nothing is in its way.
pub(super) fn at_once(data: &Data, actor: Actor, call: &Call) -> Option<Result<WholeAnswer, CallError>> {
    let shape = match Shape::of(call) {
        reads @ (Shape::KvGet | Shape::KvList | Shape::DocsGet | Shape::DocsFind | Shape::DocsCount) => reads,
        _ => return None,
    };
    let request = match request(call.clone()) {
        Ok(request) => request,
        Err(error) => return Some(Err(error)),
    };
    data.at_once(actor, &request, |found| {
        let (reply, bytes) = match found.map_err(outsider).and_then(|response| shape.found(response)) {
            Ok(found) => found,
            Err(error) => return Some(Err(error)),
        };
        // What is longer than a frame is sent as the worker takes it.
        let short = bytes.len() <= FRAME_BODY_BYTES_MAX;
        short.then(|| Ok((reply, shape.has_bytes().then_some(bytes))))
    })
}

/// Which reply a call has: one response may be that of several calls.
#[derive(Debug, Clone, Copy)]
enum Shape {
    KvGet,
    KvSet,
    KvDelete,
    KvList,
    DocsGet,
    DocsPut,
    DocsInsert,
    DocsUpdate,
    DocsDelete,
    DocsFind,
    DocsCount,
    DocsBatch,
    SpacesCreate,
    SpacesList,
    SpacesJoin,
    SpacesMembers,
    SpacesAdd,
    SpacesRemove,
    Other,
}

impl Shape {
    fn of(call: &Call) -> Self {
        match call {
            Call::KvGet { .. } => Self::KvGet,
            Call::KvSet { .. } => Self::KvSet,
            Call::KvDelete { .. } => Self::KvDelete,
            Call::KvList { .. } => Self::KvList,
            Call::DocsGet { .. } => Self::DocsGet,
            Call::DocsPut { .. } => Self::DocsPut,
            Call::DocsInsert { .. } => Self::DocsInsert,
            Call::DocsUpdate { .. } => Self::DocsUpdate,
            Call::DocsDelete { .. } => Self::DocsDelete,
            Call::DocsFind { .. } => Self::DocsFind,
            Call::DocsCount { .. } => Self::DocsCount,
            Call::DocsBatch { .. } => Self::DocsBatch,
            Call::SpacesCreate { .. } => Self::SpacesCreate,
            Call::SpacesList { .. } => Self::SpacesList,
            Call::SpacesJoin { .. } => Self::SpacesJoin,
            Call::SpacesMembers { .. } => Self::SpacesMembers,
            Call::SpacesAdd { .. } => Self::SpacesAdd,
            Call::SpacesRemove { .. } => Self::SpacesRemove,
            _ => Self::Other,
        }
    }

    /// Whether bytes follow the value of its reply.
    fn has_bytes(self) -> bool {
        matches!(
            self,
            Self::KvGet
                | Self::KvList
                | Self::DocsGet
                | Self::DocsPut
                | Self::DocsInsert
                | Self::DocsUpdate
                | Self::DocsFind
                | Self::DocsBatch
                | Self::SpacesList
        )
    }

    fn answer(self, response: Response) -> Result<Answer, CallError> {
        let (reply, bytes) = self.found(response)?;
        Ok(if self.has_bytes() {
            Answer::Bytes(reply, Box::new(Whole::from(bytes)))
        } else {
            Answer::Reply(reply)
        })
    }

    /// The value of a reply, and the bytes that follow it.
    fn found(self, response: Response) -> Result<(Reply, Bytes), CallError> {
        let plain = |reply| Ok((reply, Bytes::new()));
        let text = |reply, text: String| Ok((reply, Bytes::from(text)));
        match (self, response) {
            (Self::KvGet, Response::Value(None)) => plain(Reply::KvGet(None)),
            (Self::KvGet, Response::Value(Some(entry))) => {
                let head = KvHead {
                    kind: match entry.kind {
                        data::KvKind::Json => KvKind::Json,
                        data::KvKind::Text => KvKind::Text,
                        data::KvKind::Bytes => KvKind::Bytes,
                    },
                    version: entry.version,
                    metadata: entry.meta,
                    expires: entry.expires_unix_ms,
                };
                Ok((Reply::KvGet(Some(head)), entry.value.into()))
            }
            (Self::KvSet, Response::Version(version)) => plain(Reply::KvSet(version)),
            (Self::KvDelete, Response::Deleted(there)) => plain(Reply::KvDelete(there)),
            (Self::KvList, Response::Keys { keys, cursor }) => {
                let items = keys.iter().map(|key| {
                    serde_json::json!({
                        "key": key.key,
                        "version": key.version,
                        "metadata": key.meta,
                        "expires": key.expires_unix_ms,
                    })
                });
                let list = serde_json::Value::Array(items.collect());
                text(Reply::KvList(cursor), list.to_string())
            }
            (Self::DocsGet, Response::Doc(document)) => {
                text(Reply::DocsGet(document.is_some()), document.unwrap_or_default())
            }
            (Self::DocsPut, Response::Doc(Some(document))) => text(Reply::DocsPut(()), document),
            (Self::DocsInsert, Response::Doc(Some(document))) => text(Reply::DocsInsert(()), document),
            (Self::DocsUpdate, Response::Doc(Some(document))) => text(Reply::DocsUpdate(()), document),
            (Self::DocsDelete, Response::Deleted(there)) => plain(Reply::DocsDelete(there)),
            (Self::DocsFind, Response::Docs { items, cursor }) => text(Reply::DocsFind(cursor), list(items)),
            (Self::DocsCount, Response::Count(count)) => plain(Reply::DocsCount(count)),
            (Self::DocsBatch, Response::Written(written)) => {
                let items = written.into_iter().map(|document| document.unwrap_or_else(|| "null".into()));
                text(Reply::DocsBatch(()), list(items.collect()))
            }
            (Self::SpacesCreate, Response::Space(space)) => plain(Reply::SpacesCreate(reply(space))),
            (Self::SpacesJoin, Response::Space(space)) => plain(Reply::SpacesJoin(reply(space))),
            (Self::SpacesList, Response::Spaces(spaces)) => {
                let items = spaces.into_iter().map(|space| {
                    serde_json::json!({ "id": space.id, "name": space.name, "role": space.role.name() })
                });
                text(Reply::SpacesList(()), serde_json::Value::Array(items.collect()).to_string())
            }
            (Self::SpacesMembers, Response::Members(members)) => {
                let member =
                    |(user, of): (UserId, Role)| MemberReply { user: user.to_string(), role: role(of) };
                plain(Reply::SpacesMembers(members.into_iter().map(member).collect()))
            }
            (Self::SpacesAdd, Response::Invite(code)) => plain(Reply::SpacesAdd(Some(code))),
            (Self::SpacesAdd, Response::Done) => plain(Reply::SpacesAdd(None)),
            (Self::SpacesRemove, Response::Done) => plain(Reply::SpacesRemove(())),
            (shape, response) => {
                tracing::error!(?shape, ?response, "storage answered something else");
                Err(CallError::new(ErrorCode::Internal, "storage failed; the server's log says why"))
            }
        }
    }
}

/// The request that a call makes.
fn request(call: Call) -> Result<Request, CallError> {
    Ok(match call {
        Call::KvGet { space, key } => Request::Kv(place(&space)?, KvCall::Get { key }),
        Call::KvSet { space, key, value, kind, options } => {
            let kind = match kind {
                KvKind::Json => data::KvKind::Json,
                KvKind::Text => data::KvKind::Text,
                KvKind::Bytes => data::KvKind::Bytes,
            };
            let KvOptions { ttl_s, expires_s, if_version, metadata: meta } = options;
            let expires_unix_ms = expires_s.map(|s| s.saturating_mul(1000));
            let set = KvCall::Set { key, value, kind, meta, ttl_s, expires_unix_ms, if_version };
            Request::Kv(place(&space)?, set)
        }
        Call::KvDelete { space, key, if_version } => {
            Request::Kv(place(&space)?, KvCall::Delete { key, if_version })
        }
        Call::KvList { space, prefix, limit, cursor } => {
            Request::Kv(place(&space)?, KvCall::List { prefix: prefix.unwrap_or_default(), limit, cursor })
        }
        Call::DocsGet { space, collection, id } => docs(&space, collection, DocCall::Get { id })?,
        Call::DocsPut { space, collection, body, if_version } => {
            docs(&space, collection, DocCall::Write(DocWrite::Put { body, if_version }))?
        }
        Call::DocsInsert { space, collection, body } => {
            docs(&space, collection, DocCall::Write(DocWrite::Insert { body }))?
        }
        Call::DocsUpdate { space, collection, id, patch, if_version } => {
            docs(&space, collection, DocCall::Write(DocWrite::Update { id, patch, if_version }))?
        }
        Call::DocsDelete { space, collection, id, if_version } => {
            docs(&space, collection, DocCall::Write(DocWrite::Delete { id, if_version }))?
        }
        Call::DocsFind { space, collection, filter, order, limit, cursor } => {
            docs(&space, collection, DocCall::Find(Find { filter, order, limit, cursor }))?
        }
        Call::DocsCount { space, collection, filter } => docs(&space, collection, DocCall::Count { filter })?,
        Call::DocsBatch { space, collection, changes } => {
            let changes = changes.into_iter().map(change).collect::<Result<_, _>>()?;
            docs(&space, collection, DocCall::Batch(changes))?
        }
        Call::SpacesCreate { name } => Request::Spaces(SpaceCall::Create { name }),
        Call::SpacesList {} => Request::Spaces(SpaceCall::List),
        Call::SpacesJoin { code } => Request::Spaces(SpaceCall::Join { code }),
        Call::SpacesMembers { space } => Request::Spaces(SpaceCall::Members { space: named(&space)? }),
        Call::SpacesAdd { space, role, user } => {
            let role = match role {
                SpaceRole::Reader => Role::Reader,
                SpaceRole::Writer => Role::Writer,
                SpaceRole::Manager => Role::Manager,
            };
            let user = user.map(|user| person(&user)).transpose()?;
            Request::Spaces(SpaceCall::Add { space: named(&space)?, user, role })
        }
        Call::SpacesRemove { space, user } => {
            Request::Spaces(SpaceCall::Remove { space: named(&space)?, user: person(&user)? })
        }
        _ => {
            return Err(CallError::new(ErrorCode::Internal, "not a call of storage"));
        }
    })
}

fn docs(space: &str, collection: String, call: DocCall) -> Result<Request, CallError> {
    Ok(Request::Docs(place(space)?, collection, call))
}

fn change(change: DocChange) -> Result<DocWrite, CallError> {
    let lacks = |what: &str| CallError::new(ErrorCode::InvalidArgument, format!("a change lacks its {what}"));
    let DocChange { verb, id, body, if_version } = change;
    let (id, body) = (id.ok_or_else(|| lacks("id")), body.ok_or_else(|| lacks("document")));
    Ok(match verb {
        DocVerb::Put => DocWrite::Put { body: body?, if_version },
        DocVerb::Insert => DocWrite::Insert { body: body? },
        DocVerb::Update => DocWrite::Update { id: id?, patch: body?, if_version },
        DocVerb::Delete => DocWrite::Delete { id: id?, if_version },
    })
}

/// A space by what an app calls it.
pub(super) fn place(space: &str) -> Result<SpaceName, CallError> {
    match space {
        "user" => Ok(SpaceName::User),
        "app" => Ok(SpaceName::App),
        other => named(other).map(SpaceName::Named),
    }
}

/// An id that is none is that of no space: the answer is that for one that is not the caller's.
fn named(space: &str) -> Result<SpaceId, CallError> {
    space.parse().map_err(|_| {
        CallError::new(ErrorCode::NotFound, "there is no such space, or you are not a member of it")
    })
}

fn person(user: &str) -> Result<UserId, CallError> {
    user.parse().map_err(|_| CallError::new(ErrorCode::NotFound, "there is no such member"))
}

fn role(role: Role) -> SpaceRole {
    match role {
        Role::Reader => SpaceRole::Reader,
        Role::Writer => SpaceRole::Writer,
        Role::Manager => SpaceRole::Manager,
    }
}

fn reply(space: SpaceInfo) -> SpaceReply {
    SpaceReply { id: space.id.to_string(), name: space.name, role: role(space.role) }
}

fn list(items: Vec<String>) -> String {
    let mut text = String::with_capacity(items.iter().map(|item| item.len() + 1).sum::<usize>() + 2);
    text.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            text.push(',');
        }
        text.push_str(item);
    }
    text.push(']');
    text
}

pub(super) fn outsider(error: DataError) -> CallError {
    CallError { code: error.code, message: error.message, permission: error.permission.into() }
}

#[cfg(test)]
mod tests {
    use super::super::Source as _;
    use super::*;

    #[test]
    fn a_space_that_is_none_is_not_found_like_one_of_somebody_else() {
        assert_eq!(place("user"), Ok(SpaceName::User));
        assert_eq!(place("app"), Ok(SpaceName::App));
        for name in
            ["", "User", "1", "space_", "space_1", "user_00000000000000000000000000", "app\0", "../app"]
        {
            assert_eq!(place(name).map_err(|error| error.code), Err(ErrorCode::NotFound), "{name}");
        }
        assert!(person("user_").is_err() && person("owner").is_err());
    }

    #[tokio::test]
    async fn an_answer_in_memory_is_sent_in_pieces() {
        let mut whole = Whole::from(Bytes::from_static(b"abcdef"));
        assert_eq!(whole.next(4).await, Ok(Bytes::from_static(b"abcd")));
        assert_eq!(whole.next(4).await, Ok(Bytes::from_static(b"ef")));
        assert_eq!(whole.next(4).await, Ok(Bytes::new()));
    }

    #[test]
    fn a_change_without_its_parts_is_refused() {
        let lacking = |verb, id: Option<&str>, body: Option<&str>| {
            change(DocChange { verb, id: id.map(Into::into), body: body.map(Into::into), if_version: None })
        };
        assert!(lacking(DocVerb::Put, None, Some("{}")).is_ok());
        assert!(lacking(DocVerb::Put, Some("a"), None).is_err());
        assert!(lacking(DocVerb::Update, None, Some("{}")).is_err());
        assert!(lacking(DocVerb::Delete, None, None).is_err());
        assert_eq!(list(vec!["1".into(), "2".into()]), "[1,2]");
        assert_eq!(list(vec![]), "[]");
    }
}
