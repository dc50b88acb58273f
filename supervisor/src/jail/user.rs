//! The supervisor's user: `fazt-sup` of `/etc/passwd`, read as a file; no name service is asked.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use super::limits::UID_SUPERVISOR;

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

/// Gives the data folder and what is in it to the user. Links are not followed.
pub(super) fn own(path: &Path, user: User) -> io::Result<()> {
    let about = fs::symlink_metadata(path)?;
    if about.is_dir() {
        for entry in fs::read_dir(path)? {
            own(&entry?.path(), user)?;
        }
    }
    if (about.uid(), about.gid()) != (user.uid, user.gid) {
        lchown(path, Some(user.uid), Some(user.gid))?;
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
