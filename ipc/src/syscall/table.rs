//! The one place where a call for apps is declared.

use serde::{Deserialize, Serialize};

use super::{Argument, Permission, Row};

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

    /// Sends a request to another server: the global `fetch`.
    NetFetch = "net"."fetch"(
        method: String = "method" "string",
        url: String = "url" "string",
        fields: Vec<(String, Vec<u8>)> = "headers" "Headers")
        -> FetchReply = "Response"
        { permission: NetHost, sends_body: true, returns_body: true, bound: false }
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

/// Head of another server's response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchReply {
    /// Status.
    pub status: u16,
    /// URL after redirects.
    pub url: String,
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
