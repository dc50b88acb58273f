//! What an answer may take in memory, before it is asked for.

use fazt_ipc::syscall::{Call, DocVerb};

use crate::kernel::storage::data::limits::{BLOB_INLINE_BYTES_MAX, PAGE_BYTES_MAX, VALUE_BYTES_MAX};

/// Set aside for what is read: mostly enough, and what is larger is read again when there is room.
const READ_BYTES: usize = 64 * 1024;
/// The keys that the kernel puts into a document.
const BESIDE_BYTES: usize = 2 * 1024;

/// Set aside for the rows of SQL, which may change something and so is not asked twice: mostly more than enough. A
/// larger answer stays where it is until there is room for it.
const ROWS_BYTES: usize = 1024 * 1024;

/// What is known of an answer before it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::kernel) struct Expected {
    /// Bytes that it may make the supervisor hold.
    pub(in crate::kernel) bytes: usize,
    /// Asking changes nothing: an answer that is larger may be dropped and asked for again.
    pub(in crate::kernel) repeatable: bool,
}

/// What is known of the answer to a call.
pub(in crate::kernel) fn expected(call: &Call) -> Expected {
    let once = |bytes| Expected { bytes, repeatable: false };
    let read = Expected { bytes: READ_BYTES, repeatable: true };
    match call {
        Call::FsRead { .. }
        | Call::FsList { .. }
        | Call::FsStat { .. }
        | Call::KvGet { .. }
        | Call::KvList { .. }
        | Call::DocsGet { .. }
        | Call::DocsFind { .. }
        | Call::DocsCount { .. }
        | Call::BlobsHead { .. }
        | Call::BlobsList { .. }
        | Call::SpacesList { .. }
        | Call::SpacesMembers { .. } => read,
        Call::BlobsGet { .. } => Expected { bytes: BLOB_INLINE_BYTES_MAX, repeatable: true },
        Call::DocsPut { body, .. } | Call::DocsInsert { body, .. } => once(body.len() + BESIDE_BYTES),
        Call::DocsUpdate { .. } => once(VALUE_BYTES_MAX + BESIDE_BYTES),
        Call::DocsBatch { changes, .. } => {
            let bytes = changes.iter().map(|change| match change.verb {
                DocVerb::Put | DocVerb::Insert => change.body.as_ref().map_or(0, String::len) + BESIDE_BYTES,
                DocVerb::Update => VALUE_BYTES_MAX + BESIDE_BYTES,
                DocVerb::Delete => 8,
            });
            once(bytes.sum::<usize>().min(PAGE_BYTES_MAX + VALUE_BYTES_MAX))
        }
        Call::SqlBatch { .. } => once(ROWS_BYTES),
        _ => once(BESIDE_BYTES),
    }
}

#[cfg(test)]
mod tests {
    use fazt_ipc::syscall::DocChange;

    use super::*;

    #[test]
    fn a_write_sets_aside_what_it_may_answer_and_a_read_may_be_repeated() {
        let (space, collection) = (String::new(), String::new());
        let put = Call::DocsPut {
            space: space.clone(),
            collection: collection.clone(),
            body: "x".repeat(100),
            if_version: None,
        };
        assert_eq!(expected(&put), Expected { bytes: 100 + BESIDE_BYTES, repeatable: false });
        let change = DocChange { verb: DocVerb::Update, id: None, body: None, if_version: None };
        let batch = Call::DocsBatch { space: space.clone(), collection, changes: vec![change; 1_000] };
        assert_eq!(expected(&batch).bytes, PAGE_BYTES_MAX + VALUE_BYTES_MAX);
        assert!(expected(&Call::KvGet { space, key: String::new() }).repeatable);
    }
}
