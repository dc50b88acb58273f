//! Which files of a folder are deployed.
//!
//! Left out: what version control, package managers and desktops leave behind, and every name that begins with
//! a dot (`.env` holds secrets) except `.well-known`; and what `.faztignore` names. Refused, naming the path: links, because what they point
//! at may lie outside; devices and pipes; names that are not UTF-8; more or larger files than a version may
//! hold. The server checks all of it again.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use fazt_ipc::control::{ErrorKind, PlanFile};
use fazt_ipc::limits::{FILE_BYTES_MAX, FILES_MAX, PATH_BYTES_MAX, VERSION_BYTES_MAX};
use sha2::{Digest as _, Sha256};

use crate::error::{Context as _, Done, invalid, problem};
use crate::ignore::{NAME, Rules};
use crate::text;

/// A file to deploy, and where it lies.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    /// As the server is told.
    pub(crate) plan: PlanFile,
    /// Where its bytes are.
    pub(crate) source: PathBuf,
}

/// A name that never travels.
pub(crate) fn ignored(name: &std::ffi::OsStr) -> bool {
    let name = name.as_bytes();
    name == b"node_modules" || (name.first() == Some(&b'.') && name != b".well-known")
}

/// Hashes of files that have been read before, so that watching a folder reads only what changed.
#[derive(Default)]
pub(crate) struct Hashes(HashMap<PathBuf, (Stamp, String)>);

/// What changes when a file's content does: size, time in nanoseconds, inode.
type Stamp = (u64, i64, i64, u64);

fn stamp(meta: &fs::Metadata) -> Stamp {
    use std::os::unix::fs::MetadataExt as _;
    (meta.len(), meta.ctime(), meta.ctime_nsec(), meta.ino())
}

/// Every file below `folder`, sorted by path. All bounds are looked at before the first file is read.
pub(crate) fn walk(folder: &Path, hashes: &mut Hashes) -> Done<Vec<Found>> {
    let meta = fs::metadata(folder).context(|| format!("deploy {}", folder.display()))?;
    if !meta.is_dir() {
        return Err(invalid(
            format!("{} is not a folder", folder.display()),
            "name the folder that holds app.json or index.html",
        ));
    }
    let mut walk = Walk { rules: Rules::load(folder)?, files: Vec::new(), bytes: 0 };
    walk.descend(folder, "")?;
    walk.files.sort();
    walk.files.into_iter().map(|(path, source)| file(source, path, hashes)).collect()
}

fn too_large(what: String, bound: String) -> fazt_ipc::control::Problem {
    let hint = format!("leave out what the app does not need to run: name it in {NAME}, or move it away");
    problem(ErrorKind::TooLarge, format!("{what}: {bound}"), hint)
}

/// A look at names and sizes.
struct Walk {
    rules: Rules,
    /// Path as the server is told, and where the file lies.
    files: Vec<(String, PathBuf)>,
    bytes: u64,
}

impl Walk {
    fn descend(&mut self, folder: &Path, prefix: &str) -> Done {
        let reading = || format!("read the folder {}", folder.display());
        for entry in fs::read_dir(folder).context(reading)? {
            let entry = entry.context(reading)?;
            let name = entry.file_name();
            if ignored(&name) {
                continue;
            }
            let source = entry.path();
            let kind = entry.file_type().context(|| format!("look at {}", source.display()))?;
            let path = format!("{prefix}{}", name.to_string_lossy());
            if self.rules.leave_out(&path, kind.is_dir()) {
                continue;
            }
            if name.to_str().is_none() {
                return Err(invalid(format!("the name of {} is not UTF-8", source.display()), "rename it"));
            }
            if kind.is_symlink() {
                return Err(invalid(
                    format!("{} is a symbolic link: links are not deployed", source.display()),
                    format!("put a copy of what it points at in its place, remove it, or name it in {NAME}"),
                ));
            } else if kind.is_dir() {
                self.descend(&source, &format!("{path}/"))?;
            } else if kind.is_file() {
                self.file(&entry, path)?;
            } else {
                return Err(invalid(
                    format!("{} is neither a file nor a folder", source.display()),
                    format!("an app consists of files: remove it, or name it in {NAME}"),
                ));
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &fs::DirEntry, path: String) -> Done {
        let source = entry.path();
        let bytes = entry.metadata().context(|| format!("look at {}", source.display()))?.len();
        if path.len() > PATH_BYTES_MAX {
            return Err(too_large(
                format!("the path {path} has {} bytes", path.len()),
                format!("a path may have {PATH_BYTES_MAX}"),
            ));
        }
        if bytes > FILE_BYTES_MAX {
            return Err(too_large(
                format!("{} has {}", source.display(), text::bytes(bytes)),
                format!("a file may have {}", text::bytes(FILE_BYTES_MAX)),
            ));
        }
        if self.files.len() >= FILES_MAX {
            let folder = source.parent().unwrap_or(&source);
            return Err(too_large(
                format!("there are more than {FILES_MAX} files, in {} and before it", folder.display()),
                format!("an app may have {FILES_MAX}"),
            ));
        }
        self.bytes += bytes;
        if self.bytes > VERSION_BYTES_MAX {
            return Err(too_large(
                format!("the files up to {} have {}", source.display(), text::bytes(self.bytes)),
                format!("an app's files together may have {}", text::bytes(VERSION_BYTES_MAX)),
            ));
        }
        self.files.push((path, source));
        Ok(())
    }
}

/// Reads one file, unless it was read before and has not changed.
fn file(source: PathBuf, path: String, hashes: &mut Hashes) -> Done<Found> {
    let reading = || format!("read {}", source.display());
    let mut file = File::open(&source).context(reading)?;
    let now = stamp(&file.metadata().context(reading)?);
    if let Some((then, sha256)) = hashes.0.get(&source)
        && *then == now
    {
        let plan = PlanFile { path, sha256: sha256.clone(), bytes: now.0 };
        return Ok(Found { plan, source });
    }
    let (sha256, bytes) = hash(&mut file).context(reading)?;
    hashes.0.insert(source.clone(), (now, sha256.clone()));
    Ok(Found { plan: PlanFile { path, sha256, bytes }, source })
}

fn hash(file: &mut File) -> std::io::Result<(String, u64)> {
    let mut digest = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            break;
        }
        digest.update(&piece[..read]);
        bytes += read as u64;
    }
    let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok((sha256, bytes))
}

/// A name for an app made of any text: lower-case letters, digits and single hyphens, at most 63.
pub(crate) fn label(text: &str) -> Option<String> {
    let mut out = String::new();
    for c in text.chars().map(|c| c.to_ascii_lowercase()) {
        match c {
            'a'..='z' | '0'..='9' => out.push(c),
            _ if !out.is_empty() && !out.ends_with('-') => out.push('-'),
            _ => {}
        }
    }
    out.truncate(63);
    let out = out.trim_end_matches('-');
    (!out.is_empty()).then(|| out.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
            fs::write(path, content).expect("a file");
        }
        folder
    }

    fn paths(folder: &Path) -> Vec<String> {
        let found = walk(folder, &mut Hashes::default()).expect("walks");
        found.into_iter().map(|file| file.plan.path).collect()
    }

    #[test]
    fn what_tools_leave_behind_and_secrets_stay_at_home() {
        let folder = folder(&[
            ("server.js", "x"),
            ("public/index.html", ""),
            ("public/.well-known/security.txt", ""),
            ("public/.DS_Store", ""),
            (".env", "SECRET=1"),
            (".git/config", ""),
            ("node_modules/a/index.js", ""),
            ("lib/node_modules/b/index.js", ""),
            ("lib/a.js", ""),
        ]);
        assert_eq!(
            paths(folder.path()),
            ["lib/a.js", "public/.well-known/security.txt", "public/index.html", "server.js"]
        );
    }

    #[test]
    fn an_author_leaves_out_more_and_never_less() {
        let folder = folder(&[
            (".faztignore", "*.psd\n/drafts/\n!.env\n"),
            (".env", "SECRET=1"),
            ("public/index.html", ""),
            ("public/logo.psd", ""),
            ("drafts/a.html", ""),
            ("public/drafts/b.html", ""),
        ]);
        let _listener =
            std::os::unix::net::UnixListener::bind(folder.path().join("drafts/s")).expect("a socket");
        assert_eq!(paths(folder.path()), ["public/drafts/b.html", "public/index.html"]);
    }

    #[test]
    fn files_are_named_by_the_hash_of_their_bytes() {
        let folder = folder(&[("a", "abc")]);
        let found = walk(folder.path(), &mut Hashes::default()).expect("walks");
        assert_eq!(found[0].plan.bytes, 3);
        assert_eq!(found[0].plan.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_changed_file_is_read_again() {
        let folder = folder(&[("a", "one")]);
        let mut hashes = Hashes::default();
        let one = walk(folder.path(), &mut hashes).expect("walks")[0].plan.sha256.clone();
        let next = folder.path().join("b");
        fs::write(&next, "two").expect("a file");
        fs::rename(next, folder.path().join("a")).expect("renamed");
        let two = walk(folder.path(), &mut hashes).expect("walks")[0].plan.sha256.clone();
        assert_ne!(one, two);
    }

    #[test]
    fn links_pipes_and_strange_names_are_refused_by_path() {
        use std::os::unix::ffi::OsStringExt as _;
        let refused = |folder: &Path| walk(folder, &mut Hashes::default()).expect_err("refused");

        let linked = folder(&[("a/b", "")]);
        std::os::unix::fs::symlink("/etc/passwd", linked.path().join("a/link")).expect("a link");
        let problem = refused(linked.path());
        assert_eq!(problem.code, ErrorKind::Invalid);
        assert!(problem.message.contains("a/link is a symbolic link"), "{problem}");

        let odd = folder(&[]);
        fs::write(odd.path().join(std::ffi::OsString::from_vec(vec![b'x', 0xff])), "").expect("a file");
        assert!(refused(odd.path()).message.contains("not UTF-8"));

        let socket = folder(&[]);
        let _listener = std::os::unix::net::UnixListener::bind(socket.path().join("s")).expect("a socket");
        assert!(refused(socket.path()).message.contains("neither a file nor a folder"));

        assert_eq!(refused(Path::new("/nonexistent/app")).code, ErrorKind::NotFound);
        assert_eq!(refused(Path::new("/dev/null")).code, ErrorKind::Invalid);
    }

    #[test]
    fn bounds_are_told_before_anything_travels() {
        let large = folder(&[("video.mp4", "")]);
        let file = File::options().write(true).open(large.path().join("video.mp4")).expect("the file");
        file.set_len(FILE_BYTES_MAX + 1).expect("a sparse file");
        let problem = walk(large.path(), &mut Hashes::default()).expect_err("too large");
        assert_eq!(problem.code, ErrorKind::TooLarge);
        assert!(problem.message.contains("video.mp4 has 25 MB: a file may have 25 MB"), "{problem}");

        let many = folder(&[]);
        for n in 0..=FILES_MAX {
            fs::write(many.path().join(n.to_string()), "").expect("a file");
        }
        let problem = walk(many.path(), &mut Hashes::default()).expect_err("too many");
        assert!(problem.code == ErrorKind::TooLarge && problem.message.contains("2000 files"), "{problem}");
        assert!(problem.hint.contains(".faztignore"), "{problem}");

        // Sparse files: reading them all would take a while.
        let heavy = folder(&[]);
        for n in 0..=VERSION_BYTES_MAX / FILE_BYTES_MAX {
            let file = File::create(heavy.path().join(n.to_string())).expect("a file");
            file.set_len(FILE_BYTES_MAX).expect("a sparse file");
        }
        let mut hashes = Hashes::default();
        let problem = walk(heavy.path(), &mut hashes).expect_err("too heavy");
        assert!(problem.message.contains("together may have 256 MB"), "{problem}");
        assert!(hashes.0.is_empty(), "nothing was read");
    }

    #[test]
    fn any_text_becomes_a_label() {
        for (input, expect) in [
            ("notes", Some("notes")),
            ("My App_2", Some("my-app-2")),
            ("--a--b--", Some("a-b")),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(label(input).as_deref(), expect);
        }
        assert_eq!(label(&"a".repeat(80)).map(|label| label.len()), Some(63));
    }
}
