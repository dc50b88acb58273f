//! The files of an app and its packages, as the resolver asks for them. There is no link, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oxc_resolver::{FileMetadata, ResolveError};
use rolldown_fs::{FileSystem, OxcResolverFileSystem};

use super::super::job::RepoFile;
use super::TOP;

#[derive(Clone, Default)]
pub(super) struct Memory {
    files: Arc<BTreeMap<PathBuf, Vec<u8>>>,
    folders: Arc<BTreeSet<PathBuf>>,
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files", self.files.len())
    }
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Memory {
    /// `config`: what stands for the app's settings of the compiler; its own would be followed to wherever they lead.
    pub(super) fn new(files: Vec<RepoFile>, config: Option<String>) -> Self {
        let top = Path::new(TOP);
        let mut all: BTreeMap<PathBuf, Vec<u8>> = files
            .into_iter()
            .filter(|file| !file.path.ends_with("tsconfig.json"))
            .map(|file| (top.join(file.path), file.bytes))
            .collect();
        if let Some(config) = config {
            all.insert(top.join("tsconfig.json"), config.into_bytes());
        }
        let mut folders = BTreeSet::new();
        for path in all.keys() {
            for folder in path.ancestors().skip(1) {
                if !folders.insert(folder.to_owned()) {
                    break;
                }
            }
        }
        Self { files: Arc::new(all), folders: Arc::new(folders) }
    }

    pub(super) fn has(&self, path: &str) -> bool {
        self.files.contains_key(&Path::new(TOP).join(path))
    }

    pub(super) fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(Path::new(path)).map(Vec::as_slice)
    }
}

impl OxcResolverFileSystem for Memory {
    fn new(_: bool) -> Self {
        Self::default()
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.files.get(path).cloned().ok_or_else(gone)
    }

    fn read_to_string(&self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.read(path)?).map_err(|_| io::ErrorKind::InvalidData.into())
    }

    fn metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        if self.files.contains_key(path) {
            Ok(FileMetadata::new(true, false, false))
        } else if self.folders.contains(path) {
            Ok(FileMetadata::new(false, true, false))
        } else {
            Err(gone())
        }
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        self.metadata(path)
    }

    fn read_link(&self, _: &Path) -> Result<PathBuf, ResolveError> {
        Err(ResolveError::from(gone()))
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.metadata(path).map(|_| path.to_owned())
    }
}

impl FileSystem for Memory {
    fn remove_dir_all(&self, _: &Path) -> io::Result<()> {
        Err(gone())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Err(gone())
    }

    fn write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(gone())
    }

    fn exists(&self, path: &Path) -> bool {
        self.metadata(path).is_ok()
    }

    fn read_dir(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Err(gone())
    }

    fn remove_file(&self, _: &Path) -> io::Result<()> {
        Err(gone())
    }
}
