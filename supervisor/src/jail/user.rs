//! The supervisor's user: `fazt-sup` of `/etc/passwd`, read as a file; no name service is asked.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};

use super::limits::UID_SUPERVISOR;
use crate::config::Config;

/// Name in `/etc/passwd`.
const NAME: &str = "fazt-sup";

/// A user and its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Finds the user in the text of `/etc/passwd`.
fn parse(passwd: &str) -> Option<User> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != NAME {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        // A supervisor that is root would undo the split.
        (uid != 0 && gid != 0).then_some(User { uid, gid })
    })
}

/// The supervisor's user on this machine.
pub(super) fn supervisor() -> User {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    parse(&passwd).unwrap_or(User { uid: UID_SUPERVISOR, gid: UID_SUPERVISOR })
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
        let about = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => continue,
            other => other?,
        };
        match FileType::from_raw_mode(about.st_mode) {
            FileType::Directory if depth == 0 => return Err(io::ErrorKind::QuotaExceeded.into()),
            FileType::Directory => match rustix::fs::openat(folder, name, flags, Mode::empty()) {
                Ok(below) => give(&below, user, depth - 1)?,
                // Not a folder any more.
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR | rustix::io::Errno::LOOP) => {}
                Err(error) => return Err(error.into()),
            },
            _ if about.st_nlink > 1 || (about.st_uid, about.st_gid) == (user.uid, user.gid) => {}
            _ => rustix::fs::chownat(folder, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?,
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

    #[test]
    fn the_user_is_read_from_the_file_and_never_root() {
        let text = "root:x:0:0:root:/root:/bin/sh\nfazt-sup:x:991:992::/var/lib/fazt:/usr/sbin/nologin\n";
        assert_eq!(parse(text), Some(User { uid: 991, gid: 992 }));
        assert_eq!(parse("fazt-sup:x:0:0::/:/bin/sh\n"), None);
        assert_eq!(parse("fazt-supper:x:7:7::/:/bin/sh\n"), None);
        assert_eq!(parse("fazt-sup:x:many:7\n"), None);
    }
}
