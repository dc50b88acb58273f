//! What may be asked of an app's data, and what is answered. Bodies are JSON text.

use fazt_ipc::ids::{SpaceId, UserId};

use super::blobs::{BlobAnswer, BlobCall};

/// Which space a call is about. Every call is about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SpaceName {
    /// The principal's own.
    User,
    /// The app's, which all who use the app share.
    App,
    /// One with members.
    Named(SpaceId),
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// On the keys of a space.
    Kv(SpaceName, KvCall),
    /// On a collection of a space.
    Docs(SpaceName, String, DocCall),
    /// On named spaces themselves.
    Spaces(SpaceCall),
    /// On the blobs of a space.
    Blobs(SpaceName, Box<BlobCall>),
    /// What the caller may do in a space, for what lies beside the cartridge. From then on the app's account knows
    /// what the data takes.
    Reach(SpaceName),
}

impl Request {
    /// Whether it changes something.
    pub(super) fn writes(&self) -> bool {
        match self {
            Self::Kv(_, call) => matches!(call, KvCall::Set { .. } | KvCall::Delete { .. }),
            Self::Docs(_, _, call) => matches!(call, DocCall::Write(_) | DocCall::Batch(_)),
            Self::Blobs(_, call) => call.writes(),
            Self::Spaces(call) => !matches!(call, SpaceCall::List | SpaceCall::Members { .. }),
            Self::Reach(_) => false,
        }
    }

    /// Whether it touches a few rows at most.
    pub(super) fn is_quick(&self) -> bool {
        match self {
            Self::Kv(_, call) => !matches!(call, KvCall::List { .. }),
            Self::Docs(_, _, call) => matches!(call, DocCall::Get { .. } | DocCall::Write(_)),
            Self::Blobs(..) | Self::Spaces(_) | Self::Reach(_) => false,
        }
    }

    /// Whether it reads keys or documents, and does nothing else.
    pub(super) fn reads_rows(&self) -> bool {
        matches!(self, Self::Kv(..) | Self::Docs(..)) && !self.writes()
    }

    /// Whether it changes nothing but what it deletes.
    pub(super) fn frees(&self) -> bool {
        match self {
            Self::Kv(_, call) => matches!(call, KvCall::Delete { .. }),
            Self::Docs(_, _, DocCall::Write(write)) => matches!(write, DocWrite::Delete { .. }),
            Self::Docs(_, _, DocCall::Batch(writes)) => {
                writes.iter().all(|write| matches!(write, DocWrite::Delete { .. }))
            }
            Self::Blobs(_, call) => matches!(**call, BlobCall::Delete { .. } | BlobCall::Abort { .. }),
            Self::Docs(..) | Self::Spaces(_) | Self::Reach(_) => false,
        }
    }
}

/// `fazt.storage.kv`
#[derive(Debug, Clone, PartialEq)]
pub enum KvCall {
    /// The value of a key.
    Get {
        /// 1 to 512 bytes.
        key: String,
    },
    /// Sets a key.
    Set {
        /// 1 to 512 bytes.
        key: String,
        /// At most 1 MiB.
        value: Vec<u8>,
        /// What the bytes are.
        kind: KvKind,
        /// JSON kept beside the value, at most 1 KiB.
        meta: Option<String>,
        /// Seconds until it is gone.
        ttl_s: Option<u64>,
        /// When it is gone, in milliseconds since 1970; counts before `ttl_s`.
        expires_unix_ms: Option<u64>,
        /// Refuse unless the key has this version; 0: unless it does not exist.
        if_version: Option<u64>,
    },
    /// Deletes a key.
    Delete {
        /// The key.
        key: String,
        /// As in `Set`.
        if_version: Option<u64>,
    },
    /// Keys in order of their bytes.
    List {
        /// Start of the keys; empty: all.
        prefix: String,
        /// Keys of the page, at most 1,000.
        limit: Option<u32>,
        /// From the page before.
        cursor: Option<String>,
    },
}

/// What a value of `kv` was when it was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum KvKind {
    /// JSON.
    Json = 0,
    /// Text.
    Text = 1,
    /// Bytes.
    Bytes = 2,
}

/// `fazt.storage.docs`
#[derive(Debug, Clone, PartialEq)]
pub enum DocCall {
    /// A document by id.
    Get {
        /// Its id.
        id: String,
    },
    /// One change.
    Write(DocWrite),
    /// Several changes, all or none.
    Batch(Vec<DocWrite>),
    /// A page of documents.
    Find(Find),
    /// How many there are.
    Count {
        /// As in [`Find`].
        filter: Option<String>,
    },
}

/// A change of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum DocWrite {
    /// Makes or replaces the document of the body's `id`.
    Put {
        /// JSON.
        body: String,
        /// Refuse unless the document has this version; 0: unless it does not exist.
        if_version: Option<u64>,
    },
    /// Adds a document; refused when its `id` exists. Without one it gets one.
    Insert {
        /// JSON.
        body: String,
    },
    /// Replaces top keys of a document.
    Update {
        /// Its id.
        id: String,
        /// JSON.
        patch: String,
        /// As in `Put`.
        if_version: Option<u64>,
    },
    /// Deletes a document.
    Delete {
        /// Its id.
        id: String,
        /// As in `Put`.
        if_version: Option<u64>,
    },
}

/// Which documents, in which order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Find {
    /// `where`, as JSON.
    pub filter: Option<String>,
    /// Fields, each with whether it is descending. Ties are broken by `id` in the last one's direction.
    pub order: Vec<(String, bool)>,
    /// Documents of the page, at most 1,000.
    pub limit: Option<u32>,
    /// From the page before.
    pub cursor: Option<String>,
}

/// `fazt.storage.spaces`
#[derive(Debug, Clone, PartialEq)]
pub enum SpaceCall {
    /// Makes a space of which the caller is the manager.
    Create {
        /// For people, at most 200 bytes.
        name: String,
    },
    /// Those that the caller is a member of.
    List,
    /// Uses up an invitation.
    Join {
        /// The code.
        code: String,
    },
    /// Who is in a space. For its members.
    Members {
        /// The space.
        space: SpaceId,
    },
    /// Makes an invitation for one person, or changes the role of a member. For managers.
    Add {
        /// The space.
        space: SpaceId,
        /// A member whose role changes; none: an invitation.
        user: Option<UserId>,
        /// The role.
        role: Role,
    },
    /// Takes a member out. For managers; everyone may leave.
    Remove {
        /// The space.
        space: SpaceId,
        /// The member.
        user: UserId,
    },
}

/// What a member of a space may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Read.
    Reader,
    /// Read and write.
    Writer,
    /// Read, write and say who is a member.
    Manager,
}

impl Role {
    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Writer => "writer",
            Self::Manager => "manager",
        }
    }

    /// From how it is written.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Reader, Self::Writer, Self::Manager].into_iter().find(|role| role.name() == text)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// `kv.get`
    Value(Option<Entry>),
    /// `kv.set`: the key's version.
    Version(u64),
    /// `kv.delete`, `docs.delete`: whether there was anything.
    Deleted(bool),
    /// `kv.list`
    Keys {
        /// In order.
        keys: Vec<KeyInfo>,
        /// Where the next page starts; none: this was the last.
        cursor: Option<String>,
    },
    /// `docs.get`, and a document that was written: JSON with `id` and `version`.
    Doc(Option<String>),
    /// `docs.batch`: for each change the document, or none where it was a deletion.
    Written(Vec<Option<String>>),
    /// `docs.find`
    Docs {
        /// JSON of each.
        items: Vec<String>,
        /// Where the next page starts; none: this was the last.
        cursor: Option<String>,
    },
    /// `docs.count`
    Count(u64),
    /// `spaces.create`, `spaces.join`
    Space(SpaceInfo),
    /// `spaces.list`
    Spaces(Vec<SpaceInfo>),
    /// `spaces.members`
    Members(Vec<(UserId, Role)>),
    /// `spaces.add`: an invitation code for one person.
    Invite(String),
    /// About blobs.
    Blob(BlobAnswer),
    /// What the caller may do in a space.
    Reach {
        /// There.
        role: Role,
    },
    /// Nothing to say.
    Done,
}

/// A value of `kv`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes.
    pub value: Vec<u8>,
    /// What they are.
    pub kind: KvKind,
    /// JSON kept beside it.
    pub meta: Option<String>,
    /// Counts the changes of this key since it was made, from 1.
    pub version: u64,
    /// When it will be gone, in milliseconds since 1970.
    pub expires_unix_ms: Option<u64>,
}

/// A key without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyInfo {
    /// The key.
    pub key: String,
    /// As in [`Entry`].
    pub version: u64,
    /// As in [`Entry`].
    pub meta: Option<String>,
    /// As in [`Entry`].
    pub expires_unix_ms: Option<u64>,
}

/// A named space as a member sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceInfo {
    /// Its id.
    pub id: SpaceId,
    /// Its name.
    pub name: String,
    /// What the caller may do there.
    pub role: Role,
}
