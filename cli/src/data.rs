//! Where the data folder is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::{Done, invalid};

/// `--data`, else `FAZT_DATA`, else `/var/lib/fazt` for root and `~/.local/share/fazt` for others.
pub(crate) fn folder(flag: Option<&Path>) -> Done<PathBuf> {
    let root = rustix::process::geteuid().is_root();
    choose(flag, std::env::var_os("FAZT_DATA"), root, std::env::var_os("HOME"))
}

fn choose(
    flag: Option<&Path>,
    variable: Option<OsString>,
    root: bool,
    home: Option<OsString>,
) -> Done<PathBuf> {
    let said = |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = flag.map(Path::to_path_buf).or_else(|| said(variable)) {
        return Ok(folder);
    }
    if root {
        return Ok(PathBuf::from("/var/lib/fazt"));
    }
    match said(home) {
        Some(home) => Ok(home.join(".local/share/fazt")),
        None => Err(invalid(
            "the data folder is unknown: HOME is not set",
            "name it with --data FOLDER or in the variable FAZT_DATA",
        )),
    }
}

/// The control socket in a data folder.
pub(crate) fn socket(data: &Path) -> PathBuf {
    data.join("run/control.sock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_wins_over_the_variable_and_both_over_the_default() {
        let some = |text: &str| Some(OsString::from(text));
        for (flag, variable, root, home, expect) in [
            (Some("/a"), some("/b"), true, some("/h"), Some("/a")),
            (None, some("/b"), true, some("/h"), Some("/b")),
            (None, some(""), true, some("/h"), Some("/var/lib/fazt")),
            (None, None, false, some("/h"), Some("/h/.local/share/fazt")),
            (None, None, false, None, None),
        ] {
            let got = choose(flag.map(Path::new), variable, root, home).ok();
            assert_eq!(got, expect.map(PathBuf::from));
        }
    }
}
