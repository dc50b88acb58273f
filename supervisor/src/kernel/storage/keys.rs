//! Secrets of the server that lie beside the databases, not in them: a copy of a database opens nothing.

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use super::db::private_folder;
use super::error::StorageError;

/// The secret of this name under `DATA/keys`; made when it is not there. Made whole or not at all: it is
/// written under another name and synced before it takes its place.
pub(crate) fn secret(data: &Path, name: &str) -> Result<[u8; 32], StorageError> {
    let folder = data.join("keys");
    private_folder(&folder)?;
    let path = folder.join(name);
    let fail = |error: std::io::Error| StorageError::io(&path, &error);
    match std::fs::File::open(&path) {
        Ok(file) => {
            let mut bytes = Vec::with_capacity(33);
            file.take(33).read_to_end(&mut bytes).map_err(fail)?;
            bytes.try_into().map_err(|bytes: Vec<u8>| StorageError::Corrupt {
                path: path.display().to_string(),
                detail: format!("{} bytes instead of 32", bytes.len()),
            })
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes: [u8; 32] = rand::random();
            let making = folder.join(format!("{name}.new"));
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&making).map_err(fail)?;
            file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(fail)?;
            std::fs::rename(&making, &path).map_err(fail)?;
            std::fs::File::open(&folder).and_then(|folder| folder.sync_all()).map_err(fail)?;
            Ok(bytes)
        }
        Err(error) => Err(fail(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_nobody_else_to_read() {
        let data = tempfile::tempdir().expect("folder");
        let one = secret(data.path(), "one").expect("made");
        assert_eq!(secret(data.path(), "one").expect("read"), one);
        assert_ne!(secret(data.path(), "two").expect("made"), one);
        let path = data.path().join("keys/one");
        assert_eq!(std::fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, b"short").expect("damaged");
        assert!(matches!(secret(data.path(), "one"), Err(StorageError::Corrupt { .. })));
    }
}
