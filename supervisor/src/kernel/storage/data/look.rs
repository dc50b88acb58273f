//! What operators and exports read of an app's data, on a connection of the kernel's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fazt_ipc::ids::UserId;
use rusqlite::{Connection, OptionalExtension, params};

use super::blobs::folder_of;
use super::request::{KvKind, Role};
use super::schema::{DataSchema, FieldKind};
use crate::kernel::security::Principal;

/// A collection, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionUse {
    /// Its name.
    pub name: String,
    /// The active version names it.
    pub active: bool,
    /// Documents, of all spaces.
    pub docs: u64,
    /// Types of fields, of the active version.
    pub fields: BTreeMap<String, FieldKind>,
    /// Indexes, of the active version.
    pub indexes: Vec<Vec<String>>,
}

/// A space that a principal reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Its number.
    pub n: i64,
    /// `user`, `app` or `named`.
    pub kind: String,
    /// Its id; none unless it is a named one.
    pub id: Option<String>,
    /// Its name.
    pub name: String,
    /// What the principal may do there.
    pub role: Role,
}

/// A part of what a person owns in an app: their private space and the named ones that they made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owned<'a> {
    /// A space. What follows is in it. Those of others in which the person is a member come last, empty.
    Space {
        /// It.
        space: &'a Reached,
        /// Whether it is the person's own.
        own: bool,
    },
    /// A document.
    Doc {
        /// Collection.
        collection: &'a str,
        /// Its id.
        id: &'a str,
        /// Counts its changes, from 1.
        version: u64,
        /// When it was made and changed, in milliseconds since 1970.
        times_ms: (u64, u64),
        /// JSON of an object, without id and version.
        body: &'a str,
    },
    /// A key.
    Key {
        /// It.
        key: &'a str,
        /// What the value is.
        kind: KvKind,
        /// Counts its changes, from 1.
        version: u64,
        /// When it will be gone, in milliseconds since 1970.
        expires_ms: Option<u64>,
        /// JSON kept beside it.
        meta: Option<&'a str>,
        /// The value.
        value: &'a [u8],
    },
    /// A blob.
    Blob {
        /// Its key.
        key: &'a str,
        /// Bytes.
        size: u64,
        /// MD5, or the MD5 of those of its parts and how many.
        etag: &'a str,
        /// When it was put, in milliseconds since 1970.
        uploaded_ms: u64,
        /// Content type and the like, as JSON.
        http: Option<&'a str>,
        /// The app's own, as JSON.
        meta: Option<&'a str>,
        /// Its bytes.
        bytes: Held<'a>,
    },
}

/// Where bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Held<'a> {
    /// Here.
    Whole(&'a [u8]),
    /// In a file.
    File(PathBuf),
}

pub(in crate::kernel::storage) fn collections(
    connection: &Connection,
) -> rusqlite::Result<Vec<CollectionUse>> {
    let sql = "SELECT body FROM data_schema WHERE version = (SELECT number FROM active)";
    let body: Option<String> = connection.query_row(sql, [], |row| row.get(0)).optional()?;
    let mut schema: DataSchema = body.and_then(|body| serde_json::from_str(&body).ok()).unwrap_or_default();
    tables(connection)?
        .into_iter()
        .map(|(n, name)| {
            let sql = format!("SELECT count(*) FROM doc_{n}");
            let docs = connection.query_row(&sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned();
            let active = schema.collections.remove(&name);
            Ok(CollectionUse {
                name,
                active: active.is_some(),
                docs,
                indexes: active.as_ref().map(|active| active.indexes.clone()).unwrap_or_default(),
                fields: active.map(|active| active.fields).unwrap_or_default(),
            })
        })
        .collect()
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<(i64, String)>> {
    let mut statement = connection.prepare("SELECT n, name FROM collection ORDER BY name")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

/// The spaces that a connection of this principal is confined to, in their order.
pub(super) fn reached(
    connection: &Connection,
    principal: Principal,
    spaces: bool,
) -> rusqlite::Result<Vec<Reached>> {
    let mut reached = match principal {
        Principal::User(user) => member_of(connection, user)?,
        Principal::Anonymous | Principal::Service => Vec::new(),
    };
    if spaces {
        let app = Reached { n: 1, kind: "app".into(), id: None, name: String::new(), role: Role::Writer };
        reached.insert(0, app);
    } else {
        reached.retain(|space| space.kind == "user");
    }
    Ok(reached)
}

fn member_of(connection: &Connection, user: UserId) -> rusqlite::Result<Vec<Reached>> {
    let sql = "SELECT s.n, s.kind, s.id, s.name, m.role FROM member m JOIN space s ON s.n = m.space
        WHERE m.who = ?1 ORDER BY s.n";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([user.to_string()], |row| {
        Ok(Reached {
            n: row.get(0)?,
            kind: row.get(1)?,
            id: row.get(2)?,
            name: row.get(3)?,
            role: Role::parse(&row.get::<_, String>(4)?).unwrap_or(Role::Reader),
        })
    })?;
    rows.collect()
}

pub(in crate::kernel::storage) fn owned(
    connection: &Connection,
    cartridge: &Path,
    user: UserId,
    each: &mut dyn FnMut(Owned<'_>) -> bool,
) -> rusqlite::Result<()> {
    let sql = "SELECT 1 FROM space WHERE n = ?1 AND owner = ?2 AND kind IN ('user', 'named')";
    let mut owns = connection.prepare(sql)?;
    let (mut own, mut others) = (Vec::new(), Vec::new());
    for space in member_of(connection, user)? {
        if owns.exists(params![space.n, user.to_string()])? { own.push(space) } else { others.push(space) }
    }
    let tables = tables(connection)?;
    for space in &own {
        if !each(Owned::Space { space, own: true }) {
            return Ok(());
        }
        for (n, collection) in &tables {
            if !docs(connection, *n, collection, space.n, each)? {
                return Ok(());
            }
        }
        if !keys(connection, space.n, each)? || !blobs(connection, cartridge, space.n, each)? {
            return Ok(());
        }
    }
    for space in &others {
        if !each(Owned::Space { space, own: false }) {
            return Ok(());
        }
    }
    Ok(())
}

fn docs(
    connection: &Connection,
    n: i64,
    collection: &str,
    space: i64,
    each: &mut dyn FnMut(Owned<'_>) -> bool,
) -> rusqlite::Result<bool> {
    let sql =
        format!("SELECT id, version, created, updated, body FROM doc_{n} WHERE _space = ?1 ORDER BY id");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([space])?;
    while let Some(row) = rows.next()? {
        let count = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
        let doc = Owned::Doc {
            collection,
            id: row.get_ref(0)?.as_str()?,
            version: count(1)?,
            times_ms: (count(2)?, count(3)?),
            body: row.get_ref(4)?.as_str()?,
        };
        if !each(doc) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn keys(
    connection: &Connection,
    space: i64,
    each: &mut dyn FnMut(Owned<'_>) -> bool,
) -> rusqlite::Result<bool> {
    let sql = "SELECT key, kind, version, expires, meta, value FROM kv WHERE _space = ?1 ORDER BY key";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([space])?;
    while let Some(row) = rows.next()? {
        let key = Owned::Key {
            key: row.get_ref(0)?.as_str()?,
            kind: super::kv::kind(row.get(1)?),
            version: row.get::<_, i64>(2)?.cast_unsigned(),
            expires_ms: row.get::<_, Option<i64>>(3)?.map(i64::cast_unsigned),
            meta: row.get_ref(4)?.as_str_or_null()?,
            value: row.get_ref(5)?.as_blob()?,
        };
        if !each(key) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn blobs(
    connection: &Connection,
    cartridge: &Path,
    space: i64,
    each: &mut dyn FnMut(Owned<'_>) -> bool,
) -> rusqlite::Result<bool> {
    let folder = folder_of(cartridge);
    let sql =
        "SELECT key, size, etag, uploaded, http, meta, file, value FROM blob WHERE _space = ?1 ORDER BY key";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([space])?;
    while let Some(row) = rows.next()? {
        let bytes = match row.get_ref(6)?.as_str_or_null()? {
            Some(name) => {
                let (first, rest) = name.split_at_checked(2).unwrap_or((name, ""));
                Held::File(folder.join(first).join(rest))
            }
            None => Held::Whole(row.get_ref(7)?.as_blob_or_null()?.unwrap_or_default()),
        };
        let blob = Owned::Blob {
            key: row.get_ref(0)?.as_str()?,
            size: row.get::<_, i64>(1)?.cast_unsigned(),
            etag: row.get_ref(2)?.as_str()?,
            uploaded_ms: row.get::<_, i64>(3)?.cast_unsigned(),
            http: row.get_ref(4)?.as_str_or_null()?,
            meta: row.get_ref(5)?.as_str_or_null()?,
            bytes,
        };
        if !each(blob) {
            return Ok(false);
        }
    }
    Ok(true)
}
