//! Folders to deploy.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A folder that goes away with the value.
pub struct Folder(TempDir);

impl Folder {
    /// An empty one.
    ///
    /// # Panics
    /// When the disk refuses.
    #[must_use]
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("temporary folder"))
    }

    /// One with files.
    #[must_use]
    pub fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self::new();
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    /// Writes a file, and the folders above it.
    ///
    /// # Panics
    /// When the disk refuses.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("folder");
        fs::write(path, content).expect("file");
    }

    /// Removes a file.
    ///
    /// # Panics
    /// When it is not there.
    pub fn remove(&self, path: &str) {
        fs::remove_file(self.0.path().join(path)).expect("file to remove");
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Where it is, as an argument.
    ///
    /// # Panics
    /// Never: temporary folders have plain names.
    #[must_use]
    pub fn arg(&self) -> &str {
        self.0.path().to_str().expect("plain name")
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}
