//! `fazt app dev`: deploys a folder on each save and prints the app's log. A deploy that fails is shown and
//! watching goes on; the version before it stays live.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use fazt_ipc::control::Problem;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::consent::Said;
use super::deploy::{Deploy, deploy, name_of, print};
use crate::client::Client;
use crate::cmd::proc::follow;
use crate::error::{Done, failed, problem};
use crate::ignore::{self, Rules};
use crate::output::{Colour, Out, print_problem};
use crate::text;
use crate::walk::{Hashes, ignored};

/// Editors save in several steps; a deploy waits until none came for this long.
const QUIET: Duration = Duration::from_millis(80);
/// A folder that never comes to rest (a log in it, a build that goes on) is deployed so long after the first
/// change.
const RESTLESS: Duration = Duration::from_secs(2);
/// Pause before the log is asked for again after the server went away.
const RETRY: Duration = Duration::from_secs(1);

pub(super) async fn dev(client: &Client, dir: &Path, told: Option<&str>, said: &Said, out: Out) -> Done {
    let name = name_of(dir, told)?;
    let (tell, mut saved) = mpsc::channel(1);
    let mut watch = Watch::new(dir, tell)?;
    let mut hashes = Hashes::default();
    let since = text::now_ms();
    let deploy = Deploy { dir, name: &name, said };
    once(client, deploy, &mut hashes, out).await;
    out.note(format!("Watching {}; Ctrl-C ends it.", dir.display()));
    let log = async {
        let mut since = since;
        loop {
            // Ends when the server stops, fails while the app does not exist yet: asked again either way.
            let _ = follow(client, &name, since, out).await;
            since = text::now_ms();
            tokio::time::sleep(RETRY).await;
        }
    };
    let deploys = async {
        while saved.recv().await.is_some() {
            settled(&mut saved).await;
            watch.refresh();
            once(client, deploy, &mut hashes, out).await;
        }
        Err::<(), Problem>(failed(format!("watching {} ended", dir.display())))
    };
    tokio::select! {
        never = log => never,
        done = deploys => done,
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

/// Waits until no change came for a while.
async fn settled(saved: &mut mpsc::Receiver<()>) {
    let rest = async { while let Ok(Some(())) = tokio::time::timeout(QUIET, saved.recv()).await {} };
    let _ = tokio::time::timeout(RESTLESS, rest).await;
}

async fn once(client: &Client, what: Deploy<'_>, hashes: &mut Hashes, out: Out) {
    let began = Instant::now();
    match deploy(client, what, hashes, out).await {
        Ok(deployed) if out.json => {
            let _ = out.document_line(&deployed);
        }
        Ok(deployed) if deployed.unchanged && deployed.files_sent == 0 => {
            out.note(out.paint(Colour::Dim, &format!("{}: nothing changed", text::clean(&deployed.app.url))));
        }
        Ok(deployed) => print(&deployed, began, out),
        Err(problem) => print_problem(&problem, out.json),
    }
}

/// Watches what would be deployed: the folder itself, and each folder in it that is not left out, so that a
/// large `node_modules` costs no watches.
struct Watch {
    dir: PathBuf,
    rules: Arc<Mutex<Rules>>,
    watcher: notify::RecommendedWatcher,
}

impl Watch {
    fn new(dir: &Path, tell: mpsc::Sender<()>) -> Done<Self> {
        let cannot = |error: notify::Error| {
            problem(
                fazt_ipc::control::ErrorKind::Failed,
                format!("cannot watch {}: {error}", dir.display()),
                "if too many files are watched, raise fs.inotify.max_user_watches",
            )
        };
        let root = std::path::absolute(dir)
            .map_err(|error| failed(format!("cannot find {}: {error}", dir.display())))?;
        let (base, rules) = (root.clone(), Arc::<Mutex<Rules>>::default());
        let left_out = Arc::clone(&rules);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let matters = event.is_ok_and(|event| {
                !matches!(event.kind, EventKind::Access(_))
                    && event.paths.iter().any(|path| deployed(&base, path, &lock(&left_out)))
            });
            if matters {
                // Full: a deploy is already due.
                let _ = tell.try_send(());
            }
        })
        .map_err(cannot)?;
        watcher.watch(&root, RecursiveMode::NonRecursive).map_err(cannot)?;
        let mut watch = Self { dir: root, rules, watcher };
        watch.refresh();
        Ok(watch)
    }

    /// Takes up folders that are new, and what `.faztignore` says now.
    fn refresh(&mut self) {
        // A file that cannot be read is told of by the deploy.
        *lock(&self.rules) = Rules::load(&self.dir).unwrap_or_default();
        let Ok(entries) = std::fs::read_dir(&self.dir) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            if !entry.file_type().is_ok_and(|kind| kind.is_dir())
                || ignored(&name)
                || lock(&self.rules).leave_out(&name.to_string_lossy(), true)
            {
                continue;
            }
            // A folder made anew under the same name has lost its watch, so each is set again. One that went
            // away in between needs none.
            let _ = self.watcher.watch(&entry.path(), RecursiveMode::Recursive);
        }
    }
}

fn lock(rules: &Mutex<Rules>) -> std::sync::MutexGuard<'_, Rules> {
    rules.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a change of this path can change what is deployed.
fn deployed(root: &Path, path: &Path, rules: &Rules) -> bool {
    path.strip_prefix(root).is_ok_and(|inside| {
        inside == Path::new(ignore::NAME)
            || (inside.iter().all(|name| !ignored(name))
                && !rules.leave_out_deep(&inside.to_string_lossy(), false))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_deployed_wakes_the_watcher() {
        let root = Path::new("/app");
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(ignore::NAME), "drafts/\n").expect("a file");
        let rules = Rules::load(folder.path()).expect("rules");
        for (path, expect) in [
            ("/app/server.js", true),
            ("/app/public/a.css", true),
            ("/app", true),
            ("/app/.git/index", false),
            ("/app/node_modules/x/y.js", false),
            ("/app/public/.index.html.swp", false),
            ("/app/.faztignore", true),
            ("/app/public/.faztignore", false),
            ("/app/drafts/a.html", false),
            ("/elsewhere", false),
        ] {
            assert_eq!(deployed(root, Path::new(path), &rules), expect, "{path}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_folder_that_never_rests_is_deployed_all_the_same() {
        let (tell, mut saved) = mpsc::channel(1);
        tokio::spawn(async move {
            while tell.send(()).await.is_ok() {
                tokio::time::sleep(QUIET / 2).await;
            }
        });
        let began = tokio::time::Instant::now();
        settled(&mut saved).await;
        assert_eq!(began.elapsed(), RESTLESS);
    }

    #[tokio::test]
    async fn a_save_in_a_folder_made_later_is_seen() {
        let dir = tempfile::tempdir().expect("a folder");
        let (tell, mut saved) = mpsc::channel(1);
        let mut watch = Watch::new(dir.path(), tell).expect("watches");
        std::fs::create_dir(dir.path().join("public")).expect("a folder");
        saved.recv().await.expect("the folder was seen");
        watch.refresh();
        while saved.try_recv().is_ok() {}
        std::fs::write(dir.path().join("public/index.html"), "x").expect("a file");
        saved.recv().await.expect("the file was seen");
    }
}
