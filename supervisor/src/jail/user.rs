//! The users of the supervisor and of egress: `fazt-sup` and `fazt-egress` of `/etc/passwd`, read as a file; no name
//! service is asked.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};

use super::limits::{UID_EGRESS, UID_SUPERVISOR};
use crate::config::Config;

/// Names in `/etc/passwd`.
const SUPERVISOR: &str = "fazt-sup";
const EGRESS: &str = "fazt-egress";

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Finds a user in the text of `/etc/passwd`.
fn parse(passwd: &str, name: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        // One that is root would undo the split.
        (uid != 0 && gid != 0).then_some(User { uid, gid })
    })
}

/// The supervisor's user on this machine.
pub(super) fn supervisor() -> User {
    named(SUPERVISOR).unwrap_or(User { uid: UID_SUPERVISOR, gid: UID_SUPERVISOR })
}

/// The user that opens connections to elsewhere, and by which a firewall may know them.
pub(super) fn egress() -> User {
    // Two roles under one user could reach into each other.
    let own = named(EGRESS).filter(|user| user.uid != supervisor().uid);
    own.unwrap_or(User { uid: UID_EGRESS, gid: UID_EGRESS })
}

fn named(name: &str) -> Option<User> {
    parse(&fs::read_to_string("/etc/passwd").unwrap_or_default(), name)
}

/// Folders in each other at most: deeper is not what a server made.
const DEPTH_MAX: usize = 32;

/// Gives the data folder and what is in it to the user, but for the configuration, which it may only read.
///
/// An earlier supervisor that was broken could write there, and another one may do so now: no link is followed,
/// no folder is looked up twice, and a file that has a second name, which may lie elsewhere, is left alone.
pub(super) fn own(path: &Path, user: User) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(path, flags, Mode::empty())?;
    give(&top, user, DEPTH_MAX)
}

/// Lets the user's group read the configuration.
fn show(folder: &OwnedFd, user: User) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(folder, Config::FILE, flags, Mode::empty())?;
    let about = rustix::fs::fstat(&file)?;
    let plain = FileType::from_raw_mode(about.st_mode) == FileType::RegularFile && about.st_nlink == 1;
    if plain && about.st_gid != user.gid {
        rustix::fs::fchown(&file, None, Some(Gid::from_raw(user.gid)))?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(about.st_mode & 0o777) | Mode::RGRP)?;
    }
    Ok(())
}

fn give(folder: &OwnedFd, user: User, depth: usize) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let (uid, gid) = (Uid::from_raw(user.uid), Gid::from_raw(user.gid));
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if depth == DEPTH_MAX && name.to_bytes() == Config::FILE.as_bytes() {
            show(folder, user)?;
            continue;
        }
        // What is looked at is what is given: by this descriptor, whatever the name means meanwhile.
        let this = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match rustix::fs::openat(folder, name, this, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => continue,
            other => other?,
        };
        let about = rustix::fs::fstat(&entry)?;
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory if depth == 0 => return Err(io::ErrorKind::QuotaExceeded.into()),
            FileType::Directory => {
                let below = rustix::fs::openat(&entry, c".", flags, Mode::empty())?;
                give(&below, user, depth - 1)?;
            }
            _ if about.st_nlink > 1 || (about.st_uid, about.st_gid) == (user.uid, user.gid) => {}
            FileType::RegularFile | FileType::Socket => {
                rustix::fs::chownat(&entry, c"", Some(uid), Some(gid), AtFlags::EMPTY_PATH)?;
            }
            // A link, a device, a pipe: nothing that a server made.
            _ => {}
        }
    }
    let about = rustix::fs::fstat(folder)?;
    if (about.st_uid, about.st_gid) != (user.uid, user.gid) {
        rustix::fs::fchown(folder, Some(uid), Some(gid))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only root may give files away.
    #[test]
    fn what_lies_in_the_folder_is_given_and_what_it_points_to_is_not() {
        use std::os::unix::fs::{MetadataExt as _, symlink};
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let user = User { uid: 64_999, gid: 64_998 };
        let (data, outside) = (tempfile::tempdir().expect("folder"), tempfile::tempdir().expect("folder"));
        let owner = |path: &Path| {
            let about = fs::symlink_metadata(path).expect("file");
            (about.uid(), about.gid())
        };
        let theirs = outside.path().join("theirs");
        fs::write(&theirs, "x").expect("file");
        let (inner, file) = (data.path().join("a/b"), data.path().join("a/b/file"));
        fs::create_dir_all(&inner).expect("folders");
        fs::write(&file, "x").expect("file");
        fs::write(data.path().join(Config::FILE), "").expect("file");
        symlink(&theirs, inner.join("soft")).expect("link");
        symlink(outside.path(), inner.join("folder")).expect("link");
        let hard = inner.join("hard");
        // Where both lie on one file system.
        let linked = fs::hard_link(&theirs, &hard).is_ok();
        own(data.path(), user).expect("given");
        let given = (user.uid, user.gid);
        assert_eq!((owner(data.path()), owner(&inner), owner(&file)), (given, given, given));
        for kept in [theirs.as_path(), outside.path(), &inner.join("soft")] {
            assert_eq!(owner(kept), (0, 0), "{}", kept.display());
        }
        assert!(!linked || owner(&hard) == (0, 0), "a file with a second name");
        assert_eq!(owner(&data.path().join(Config::FILE)), (0, user.gid), "to read, not to write");
        fs::write(&file, "y").expect("file");
        own(data.path(), user).expect("again");
    }

    #[test]
    fn the_user_is_read_from_the_file_and_never_root() {
        let text = "root:x:0:0:root:/root:/bin/sh\nfazt-sup:x:991:992::/var/lib/fazt:/usr/sbin/nologin\n";
        let parse = |text| parse(text, SUPERVISOR);
        assert_eq!(parse(text), Some(User { uid: 991, gid: 992 }));
        assert_eq!(parse("fazt-sup:x:0:0::/:/bin/sh\n"), None);
        assert_eq!(parse("fazt-supper:x:7:7::/:/bin/sh\n"), None);
        assert_eq!(parse("fazt-sup:x:many:7\n"), None);
    }
}
