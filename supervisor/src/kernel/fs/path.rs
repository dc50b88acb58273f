//! What may be a path in a deploy. The list comes from outside; paths never touch the disk as paths, but
//! people download them again onto systems that fold case or normalise, so twins are refused.

use std::collections::HashMap;

use fazt_ipc::limits::{FILE_BYTES_MAX, FILES_MAX, PATH_BYTES_MAX, VERSION_BYTES_MAX};
use unicode_normalization::UnicodeNormalization;

use super::error::FsError;

/// Deepest folder.
const DEPTH_MAX: usize = 32;
/// Longest name between two slashes, as on common file systems.
const SEGMENT_BYTES_MAX: usize = 255;

/// Checks every path and size of a deploy together.
///
/// # Errors
/// The first thing that is wrong, with its path.
pub fn check_all<'a>(files: impl ExactSizeIterator<Item = (&'a str, u64)>) -> Result<(), FsError> {
    if files.len() == 0 {
        return Err(FsError::BadDeploy(
            "there are no files in it; an app has an index.html, files in public/ or a server.js".into(),
        ));
    }
    if files.len() > FILES_MAX {
        return Err(FsError::TooLarge(format!("{} files; an app may have {FILES_MAX}", files.len())));
    }
    let mut total = 0u64;
    let mut seen: HashMap<String, (&str, bool)> = HashMap::new();
    for (path, bytes) in files {
        check(path)?;
        if bytes > FILE_BYTES_MAX {
            return Err(FsError::TooLarge(format!(
                "`{path}` has {bytes} bytes; a file may have {FILE_BYTES_MAX}. Larger things belong into the app's storage"
            )));
        }
        total = total.saturating_add(bytes);
        let mut end = 0;
        while let Some(next) = path[end..].find('/') {
            end += next;
            twin(&mut seen, &path[..end], path, true)?;
            end += 1;
        }
        twin(&mut seen, path, path, false)?;
    }
    if total > VERSION_BYTES_MAX {
        return Err(FsError::TooLarge(format!(
            "{total} bytes in all; a version may have {VERSION_BYTES_MAX}"
        )));
    }
    Ok(())
}

/// `part` is `path` or a folder above it.
fn twin<'a>(
    seen: &mut HashMap<String, (&'a str, bool)>,
    part: &'a str,
    path: &str,
    folder: bool,
) -> Result<(), FsError> {
    match seen.insert(fold(part), (part, folder)) {
        None => Ok(()),
        Some((other, true)) if folder && other == part => Ok(()),
        Some((other, false)) if other == part && !folder => bad(path, "it is in the list twice".into()),
        Some((other, _)) if other == part => bad(path, format!("`{part}` is a file and a folder at once")),
        Some((other, _)) => bad(
            path,
            format!("`{part}` and `{other}` are the same name on systems that fold case or Unicode"),
        ),
    }
}

/// Two names that fold alike cannot stand beside each other on every system.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Upper case first: it joins letters that lower case keeps apart (ſ and s, ς and σ).
    text.nfc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfc().collect()
}

/// Checks one path.
///
/// # Errors
/// What is wrong with it.
pub fn check(path: &str) -> Result<(), FsError> {
    let why = if path.is_empty() {
        "it is empty"
    } else if path.len() > PATH_BYTES_MAX {
        "it is longer than 512 bytes"
    } else if path.starts_with('/') {
        "it is absolute; paths are relative to the app's folder"
    } else if path.contains('\\') {
        "it has a backslash; folders are separated by `/`"
    } else if path.chars().any(invisible) {
        "it has a control or invisible formatting character"
    } else if path.nfc().ne(path.chars()) {
        "it is not in Unicode's composed form (NFC)"
    } else if path.split('/').count() > DEPTH_MAX {
        "it is more than 32 folders deep"
    } else if path.split('/').any(str::is_empty) {
        "it has an empty name between slashes"
    } else if path.split('/').any(|name| name == "." || name == "..") {
        "`.` and `..` are not allowed"
    } else if path.split('/').any(|name| name.len() > SEGMENT_BYTES_MAX) {
        "it has a name of more than 255 bytes"
    } else if path.split('/').any(|name| name.ends_with([' ', '.']) || name.starts_with(' ')) {
        "it has a name that starts or ends with a space, or ends with a dot"
    } else {
        return Ok(());
    };
    bad(path, why.into())
}

/// Controls, and characters that reorder or hide others.
fn invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn bad<T>(path: &str, why: String) -> Result<T, FsError> {
    let shown: String = path
        .chars()
        .take(200)
        .flat_map(|c| if invisible(c) { c.escape_unicode().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    Err(FsError::BadPath { path: shown, why })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(paths: &[&str]) -> Result<(), FsError> {
        check_all(paths.iter().map(|path| (*path, 1)).collect::<Vec<_>>().into_iter())
    }

    #[test]
    fn ordinary_paths_are_taken() {
        verdict(&[
            "app.json",
            "public/index.html",
            "public/img/ä.png",
            ".well-known/x",
            "a b.txt",
            "a/b",
            "a.b/c",
            "日本/語.txt",
        ])
        .expect("all fine");
    }

    #[test]
    fn a_path_that_leads_elsewhere_or_hides_something_is_refused() {
        let long = "a/".repeat(300) + "b";
        let deep = "a/".repeat(32) + "b";
        for path in [
            "",
            "/etc/passwd",
            "..",
            "../a",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{202e}b",
            "a\u{200b}",
            "e\u{301}.txt",
            "a ",
            "a.",
            "a. /b",
            &long,
            &deep,
        ] {
            let error = verdict(&[path]).expect_err(path);
            assert!(!error.to_string().contains(['\0', '\n', '\u{202e}']), "{error}");
        }
    }

    #[test]
    fn twins_are_refused_and_both_named() {
        for (a, b) in [
            ("a.txt", "A.txt"),
            ("Img/a.png", "img/b.png"),
            ("straße.txt", "STRASSE.txt"),
            ("é.txt", "É.txt"),
            ("a", "a/b"),
            ("a/b", "a"),
            ("a", "a"),
        ] {
            let error = verdict(&[a, b]).expect_err(a).to_string();
            assert!(error.contains(b.split('/').next().unwrap_or(b)), "{error}");
        }
    }

    #[test]
    fn bounds_name_what_is_too_large() {
        let many: Vec<_> = (0..=FILES_MAX).map(|i| format!("f{i}")).collect();
        let error = check_all(many.iter().map(|path| (path.as_str(), 1))).expect_err("too many");
        assert!(error.to_string().contains("2001 files"), "{error}");
        let error = check_all([("big.bin", FILE_BYTES_MAX + 1)].into_iter()).expect_err("too large");
        assert!(error.to_string().contains("`big.bin`"), "{error}");
        let all: Vec<_> = (0..11).map(|i| format!("f{i}")).collect();
        assert!(check_all(all.iter().map(|path| (path.as_str(), FILE_BYTES_MAX))).is_err());
    }
}
