//! `fazt app new`: the folder of a new app, from templates that lie in this program.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use fazt_ipc::control::ErrorKind;

use crate::error::{Context as _, Done, invalid, problem};
use crate::output::Out;
use crate::{text, types, walk};

/// What a new app begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// A guestbook: what is everybody's, what is for members, what is one's own
    Hello,
    /// Pages only
    Static,
    /// A server with routes
    Router,
    /// A server in TypeScript
    Ts,
}

macro_rules! files {
    ($folder:literal: $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!($folder, "/", $path)))),*]
    };
}

impl Template {
    const fn files(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Hello => files!("../../../../apps/hello":
                "app.json", "server.js", "public/style.css", "public/icon.svg"),
            Self::Static => files!("templates/static":
                "app.json", "public/index.html", "public/style.css", "public/404.html"),
            Self::Router => files!("templates/router": "app.json", "server.js", "router.js"),
            Self::Ts => files!("templates/ts": "app.json", "server.ts", "tsconfig.json"),
        }
    }
}

#[derive(serde::Serialize)]
struct Made<'a> {
    name: &'a str,
    dir: PathBuf,
    files: Vec<&'static str>,
}

pub(super) fn new(name: &str, template: Template, out: Out) -> Done {
    match walk::label(name) {
        Some(label) if label == name => {}
        label => {
            return Err(invalid(
                format!(
                    "“{name}” cannot be the name of an app: lower-case letters, digits and hyphens make one"
                ),
                label.map_or_else(String::new, |label| format!("fazt app new {label}")),
            ));
        }
    }
    let dir = PathBuf::from(name);
    let files = write(&dir, name, template)?;
    out.show(&Made { name, dir, files }, |made| {
        out.line(format!("{name}/ holds {}:", text::count(made.files.len() as u64, "file")));
        for file in &made.files {
            out.line(format!("  {name}/{file}"));
        }
        out.line(format!("Next: fazt app deploy {name}, or fazt app dev {name}"));
    })
}

fn write(dir: &Path, name: &str, template: Template) -> Done<Vec<&'static str>> {
    // A folder that is there may hold work.
    std::fs::create_dir(dir).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            problem(ErrorKind::Conflict, format!("{} is there already", dir.display()), "choose another name")
        }
        _ => problem(ErrorKind::Failed, format!("cannot make the folder {}: {error}", dir.display()), ""),
    })?;
    let schema = ("types/app.schema.json", types::SCHEMA);
    let types = ("types/fazt.d.ts", types::DECLARATIONS);
    let typed = template == Template::Ts;
    let files = template.files().iter().chain([&schema]).chain(typed.then_some(&types));
    let mut written = Vec::new();
    for (path, content) in files {
        let target = dir.join(path);
        let writing = || format!("write {}", target.display());
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).context(writing)?;
        }
        let content = match *path {
            "app.json" => content
                .replace("\"hello\"", &format!("\"{name}\""))
                .replace("\"../types/", "\"./types/")
                .replace("__NAME__", name),
            _ => content.replace("__NAME__", name),
        };
        std::fs::write(&target, content).context(writing)?;
        written.push(*path);
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_template_makes_a_folder_with_a_manifest_of_that_name() {
        let parent = tempfile::tempdir().expect("a folder");
        for template in Template::value_variants() {
            let dir = parent.path().join(format!("{template:?}"));
            write(&dir, "my-app", *template).expect("written");
            let manifest = std::fs::read_to_string(dir.join("app.json")).expect("a manifest");
            let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
            assert_eq!(manifest["name"], "my-app");
            for part in ["main", "assets", "$schema"] {
                if let Some(path) = manifest[part].as_str() {
                    assert!(dir.join(path).exists(), "{template:?} names {path}, which is not there");
                }
            }
        }
    }

    #[test]
    fn a_template_holds_every_file_of_its_folder() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (template, folder) in [
            (Template::Hello, "../apps/hello"),
            (Template::Static, "src/cmd/app/templates/static"),
            (Template::Router, "src/cmd/app/templates/router"),
            (Template::Ts, "src/cmd/app/templates/ts"),
        ] {
            let found = walk::walk(&base.join(folder), &mut walk::Hashes::default()).expect("walks");
            let mut listed: Vec<_> = template.files().iter().map(|(path, _)| *path).collect();
            listed.sort_unstable();
            assert_eq!(found.iter().map(|file| file.plan.path.as_str()).collect::<Vec<_>>(), listed);
        }
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone() {
        let dir = tempfile::tempdir().expect("a folder");
        let problem = write(dir.path(), "x", Template::Static).expect_err("refused");
        assert_eq!(problem.code, ErrorKind::Conflict);
    }
}
