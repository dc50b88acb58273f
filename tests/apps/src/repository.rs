//! Repositories as they lie on this machine: in the folder that `FAZT_APPS` names, as `owner+name`, or cloned.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};

use crate::list::App;

/// Where clones and checkouts are kept between runs.
pub fn cache() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cache/apps")
}

/// `owner` and `name`.
pub fn slug(app: &App) -> Result<(&str, &str)> {
    let path = app.repository.trim_end_matches('/').rsplit('/').collect::<Vec<_>>();
    match path[..] {
        [name, owner, ..] => Ok((owner, name)),
        _ => bail!("{} is no repository", app.repository),
    }
}

/// The Git folder with the commit in it.
pub fn find(app: &App) -> Result<PathBuf> {
    let (owner, name) = slug(app)?;
    let has = |at: &Path| git(at, &["cat-file", "-e", &format!("{}^{{commit}}", app.commit)]).is_ok();
    if let Some(folder) = std::env::var_os("FAZT_APPS") {
        let at = Path::new(&folder).join(format!("{owner}+{name}"));
        let at = if at.join("repo").is_dir() { at.join("repo") } else { at };
        ensure!(has(&at), "{} has no commit {}", at.display(), app.commit);
        return Ok(at);
    }
    let at = cache().join("git").join(format!("{owner}+{name}"));
    if !at.exists() {
        std::fs::create_dir_all(&at)?;
        git(&at, &["init", "--quiet", "--bare"])?;
    }
    if !has(&at) {
        git(&at, &["fetch", "--quiet", "--depth=1", &format!("{}.git", app.repository), &app.commit])?;
        git(&at, &["update-ref", "refs/heads/main", &app.commit])?;
        git(&at, &["symbolic-ref", "HEAD", "refs/heads/main"])?;
    }
    Ok(at)
}

/// The files of the commit with their packages, for Wrangler. No script of a package is run here either.
pub fn checkout(app: &App, at: &Path) -> Result<PathBuf> {
    let work = cache().join("work").join(format!("{}-{}", app.name, &app.commit[..12]));
    let done = work.join(".installed");
    let folder = work.join(&app.folder);
    if done.exists() {
        return Ok(folder);
    }
    let _ = std::fs::remove_dir_all(&work);
    std::fs::create_dir_all(&work)?;
    let mut archive = Command::new("git");
    archive.arg("-C").arg(at).args(["-c", "safe.directory=*", "archive", &app.commit]);
    let mut archive = archive.stdout(Stdio::piped()).spawn()?;
    let out = archive.stdout.take().context("piped")?;
    let tar = Command::new("tar").arg("-x").arg("-C").arg(&work).stdin(out).status()?;
    ensure!(archive.wait()?.success() && tar.success(), "{} cannot be checked out", app.name);
    install(&folder, &work)?;
    std::fs::write(done, "")?;
    Ok(folder)
}

/// Installs by whichever lock file there is, in the folder or at the top.
fn install(folder: &Path, work: &Path) -> Result<()> {
    const NPM: [&str; 5] = ["--ignore-scripts", "--no-audit", "--no-fund", "--legacy-peer-deps", "--silent"];
    let npm = |words: &[&'static str]| [&["npm"], words, &NPM].concat();
    let programs: [(&str, Vec<&str>); 5] = [
        ("package-lock.json", npm(&["ci"])),
        (
            "pnpm-lock.yaml",
            vec!["npx", "--yes", "pnpm@9", "install", "--frozen-lockfile", "--ignore-scripts"],
        ),
        (
            "yarn.lock",
            vec![
                "npx",
                "--yes",
                "yarn@1.22.22",
                "install",
                "--frozen-lockfile",
                "--ignore-scripts",
                "--ignore-engines",
            ],
        ),
        ("bun.lock", npm(&["install"])),
        ("package.json", npm(&["install"])),
    ];
    let locks = [folder, work].into_iter().flat_map(|at| programs.iter().map(move |program| (at, program)));
    let Some((at, (lock, words))) = locks.into_iter().find(|(at, (lock, _))| at.join(lock).exists()) else {
        return Ok(());
    };
    let run = |words: &[&str]| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(at).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(Stdio::null()).status()
    };
    if run(words)?.success() {
        return Ok(());
    }
    // A registry may lack what only the authors use: then without that, and whichever versions fit.
    without_tools(&at.join("package.json"))?;
    if *lock != "package.json" {
        std::fs::remove_file(at.join(lock))?;
    }
    ensure!(run(&npm(&["install"]))?.success(), "the packages of {} cannot be had ({lock})", at.display());
    Ok(())
}

/// Takes out of a `package.json` what bundling does not need.
fn without_tools(path: &Path) -> Result<()> {
    const TOOLS: [&str; 10] = [
        "eslint",
        "prettier",
        "vitest",
        "jest",
        "biome",
        "husky",
        "commit",
        "wrangler",
        "workers-types",
        "@types/",
    ];
    let mut package: serde_json::Value = serde_json::from_slice(&std::fs::read(path)?)?;
    for key in ["dependencies", "devDependencies"] {
        if let Some(names) = package[key].as_object_mut() {
            names.retain(|name, _| !TOOLS.iter().any(|tool| name.contains(tool)));
        }
    }
    std::fs::write(path, package.to_string())?;
    Ok(())
}

fn git(at: &Path, words: &[&str]) -> Result<()> {
    let output =
        Command::new("git").arg("-C").arg(at).args(["-c", "safe.directory=*"]).args(words).output()?;
    ensure!(output.status.success(), "git {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
