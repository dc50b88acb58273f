//! Which deployed file answers a path, without touching the disk.

use super::media;
use crate::kernel::storage::FileRow;
pub use crate::kernel::storage::{Encoding, Encodings, Sha256};

/// A deployed file, as the index in memory knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Content as deployed; also a strong ETag (with the encoding's name behind it for a coded answer).
    pub sha256: Sha256,
    /// Size as deployed.
    pub bytes: u64,
    /// `Content-Type`, with `charset=utf-8` for text.
    pub media_type: &'static str,
    /// Its name carries a hash: it may be cached for ever.
    pub immutable: bool,
    /// Sizes of the compressed forms that exist.
    pub encodings: Encodings,
}

/// What the assets say to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssetMatch<'a> {
    /// This file.
    Found(&'a File),
    /// A folder with an `index.html`, asked for without the slash at its end: redirect to path + `/`, so that
    /// relative links work.
    Folder,
    /// A page (`about.html`) asked for as if it were a folder (`/about/`): redirect to the path without the
    /// slash.
    Page,
    /// No file, but the app is a single-page one and the path looks like navigation (no extension): this file
    /// with 200 when the client navigates (`GET`, accepts HTML); otherwise the app's server, or 404.
    Spa(&'a File),
    /// No file; the app's server if it has one, else this page with 404.
    NotFoundPage(&'a File),
    /// No file and no page.
    None,
}

/// Every file of a version, by path.
pub(super) struct Index(Box<[(Box<str>, File)]>);

impl Index {
    /// `files` are sorted by path, as the cartridge gives them.
    pub(super) fn new(files: Vec<FileRow>) -> Self {
        let mut files: Vec<_> = files
            .into_iter()
            .map(|row| {
                // The same bytes may stand under another name that is compressed.
                let compressible = media::compressible(&row.path);
                let file = File {
                    sha256: row.sha256,
                    bytes: row.bytes,
                    media_type: media::media_type(&row.path),
                    immutable: media::has_hash(&row.path),
                    encodings: if compressible { row.encodings } else { Encodings::default() },
                };
                (row.path.into_boxed_str(), file)
            })
            .collect();
        files.sort_by(|a, b| a.0.cmp(&b.0));
        Self(files.into())
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Roughly what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(path, _)| path.len() + size_of::<(Box<str>, File)>() + 16).sum()
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        let at = self.0.binary_search_by(|(other, _)| (**other).cmp(path)).ok()?;
        Some(&self.0[at].1)
    }

    /// Every file below a folder, with its whole path. The empty folder is the top.
    pub(super) fn below<'a>(&'a self, folder: &str) -> impl Iterator<Item = (&'a str, &'a File)> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let start = self.0.partition_point(|(path, _)| **path < *prefix);
        self.0[start..]
            .iter()
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, file)| (&**path, file))
    }
}

/// Whether a file at the top of a purely static app is one of its pages, and not something about the app.
pub(super) fn servable_at_top(path: &str) -> bool {
    let first = path.split('/').next().unwrap_or(path);
    let server = first == path && first.split('.').next() == Some("server");
    !(server || first == "node_modules" || path == "app.json" || hidden(path))
}

/// Dotfiles are never served, but for the folder that standards put into every site.
fn hidden(path: &str) -> bool {
    path.split('/').enumerate().any(|(at, name)| name.starts_with('.') && !(at == 0 && name == ".well-known"))
}

/// Finds the file for a URL path, which starts with `/` and is percent-decoded once.
pub(super) fn find<'a>(index: &'a Index, assets: Option<&str>, spa: bool, path: &str) -> AssetMatch<'a> {
    let Some(assets) = assets else { return AssetMatch::None };
    let get = |path: &str| -> Option<&'a File> {
        if assets.is_empty() {
            if servable_at_top(path) { index.get(path) } else { None }
        } else {
            index.get(&format!("{assets}/{path}"))
        }
    };
    let Some(path) = path.strip_prefix('/') else { return AssetMatch::None };
    // An index only ever holds checked paths: `..`, empty names and controls find nothing by themselves.
    if !hidden(path) {
        let folder = path.is_empty() || path.ends_with('/');
        if folder {
            if let Some(file) = get(&format!("{path}index.html")) {
                return AssetMatch::Found(file);
            }
            let page = path.strip_suffix('/').filter(|page| !page.is_empty());
            if page.is_some_and(|page| get(&format!("{page}.html")).is_some()) {
                return AssetMatch::Page;
            }
        } else {
            if let Some(file) = get(path) {
                return AssetMatch::Found(file);
            }
            if let Some(file) = get(&format!("{path}.html")) {
                return AssetMatch::Found(file);
            }
            if get(&format!("{path}/index.html")).is_some() {
                return AssetMatch::Folder;
            }
        }
        let last = path.rsplit('/').next().unwrap_or(path);
        if spa
            && !last.contains('.')
            && let Some(file) = get("index.html")
        {
            return AssetMatch::Spa(file);
        }
    }
    get("404.html").map_or(AssetMatch::None, AssetMatch::NotFoundPage)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(paths: &[&str]) -> Index {
        let row = |path: &&str| FileRow {
            path: (*path).into(),
            sha256: Sha256::of(path.as_bytes()),
            bytes: 1,
            encodings: Encodings::default(),
            built: None,
        };
        Index::new(paths.iter().map(row).collect())
    }

    /// `=path` found, `+path` single-page fallback, `!path` page of a 404, `/` and `<` redirects, `-` nothing.
    fn ask(index: &Index, assets: Option<&str>, spa: bool, path: &str) -> String {
        let name = |file: &File| {
            let found = index.0.iter().find(|(_, other)| other.sha256 == file.sha256);
            found.map(|(path, _)| path.to_string()).unwrap_or_default()
        };
        match find(index, assets, spa, path) {
            AssetMatch::Found(file) => format!("={}", name(file)),
            AssetMatch::Spa(file) => format!("+{}", name(file)),
            AssetMatch::NotFoundPage(file) => format!("!{}", name(file)),
            AssetMatch::Folder => "/".into(),
            AssetMatch::Page => "<".into(),
            AssetMatch::None => "-".into(),
        }
    }

    #[test]
    fn paths_find_their_files() {
        let files = index(&[
            "app.json",
            "server.js",
            "public/index.html",
            "public/a.txt",
            "public/docs/index.html",
            "public/about.html",
            "public/404.html",
            "public/.env",
            "public/.well-known/x",
            "public/x/.git/config",
        ]);
        for (path, expect) in [
            ("/", "=public/index.html"),
            ("/a.txt", "=public/a.txt"),
            ("/docs", "/"),
            ("/docs/", "=public/docs/index.html"),
            ("/about", "=public/about.html"),
            ("/about/", "<"),
            ("/about//", "!public/404.html"),
            ("/docs//", "!public/404.html"),
            ("/.well-known/x", "=public/.well-known/x"),
            ("/.env", "!public/404.html"),
            ("/x/.git/config", "!public/404.html"),
            ("/../server.js", "!public/404.html"),
            ("/server.js", "!public/404.html"),
            ("//a.txt", "!public/404.html"),
            ("/a.txt/", "!public/404.html"),
            ("a.txt", "-"),
        ] {
            assert_eq!(ask(&files, Some("public"), false, path), expect, "{path}");
        }
        assert_eq!(ask(&files, None, false, "/a.txt"), "-");
    }

    #[test]
    fn a_single_page_app_answers_navigation_and_not_files() {
        let files = index(&["public/index.html", "public/a.js"]);
        for (path, expect) in [
            ("/any/where", "+public/index.html"),
            ("/any/", "+public/index.html"),
            ("/a.js", "=public/a.js"),
            ("/missing.js", "-"),
            ("/.env", "-"),
        ] {
            assert_eq!(ask(&files, Some("public"), true, path), expect, "{path}");
        }
    }

    #[test]
    fn the_top_of_a_static_app_keeps_what_is_not_a_page() {
        let files = index(&[
            "app.json",
            "index.html",
            "a/app.json",
            "server.ts",
            "a/server.js",
            "node_modules/x/y.js",
            ".env",
        ]);
        for (path, expect) in [
            ("/", "=index.html"),
            ("/app.json", "-"),
            ("/a/app.json", "=a/app.json"),
            ("/server.ts", "-"),
            ("/a/server.js", "=a/server.js"),
            ("/node_modules/x/y.js", "-"),
            ("/.env", "-"),
        ] {
            assert_eq!(ask(&files, Some(""), false, path), expect, "{path}");
        }
    }

    #[test]
    fn a_folder_holds_only_what_is_below_it() {
        let files = index(&["a", "a-b/c", "a.txt", "ab/c", "b/c", "b/d/e"]);
        let below = |folder| files.below(folder).map(|(path, _)| path).collect::<Vec<_>>();
        assert_eq!(below("b"), ["b/c", "b/d/e"]);
        assert_eq!(below("a"), Vec::<&str>::new());
        assert_eq!(below("").len(), files.len());
    }
}
