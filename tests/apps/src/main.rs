//! Real applications from GitHub, written by others for Workers or Hono: installed by `fazt app install` from a Git
//! server on loopback as they are, and asked the same as workerd, which runs what Wrangler makes of the same commit.
//!
//! ```text
//! fazt-apps                   all of list.json; says what differs, and fails if it is not known
//! fazt-apps NAME…             these only
//! fazt-apps --out FILE        writes the table too
//! fazt-apps --measure         how long an install takes, and where the time goes
//! ```
//!
//! | what | file |
//! |---|---|
//! | the list, and how it is read | `list.json`, `list.rs` |
//! | where repositories come from | `repository.rs` |
//! | packages | `registry.rs` |
//! | Fazt and workerd, and who asks them | `sides.rs`, `workerd.mjs` |
//! | answers beside each other | `compare.rs` |
//! | figures | `measure.rs` |

mod compare;
mod list;
mod measure;
mod registry;
mod repository;
mod sides;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use fazt_tests::{GitServer, Server, ServerOptions};
use list::App;
use sides::{Visitor, Workerd};

fn main() -> Result<()> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let mut flag = |name: &str| {
        let at = words.iter().position(|word| word == name);
        at.map(|at| words.remove(at)).is_some()
    };
    let measured = flag("--measure");
    let verbose = flag("--verbose");
    let out = words.iter().position(|word| word == "--out").map(|at| {
        words.remove(at);
        words.remove(at)
    });
    if measured {
        print!("{}", measure::run()?);
        return Ok(());
    }
    let registry = registry::start(&repository::cache().join("registry"))?;
    let all = list::read()?;
    ensure!(words.iter().all(|word| all.iter().any(|app| app.name == *word)), "no such app: {words:?}");
    let chosen = all.into_iter().filter(|app| words.is_empty() || words.contains(&app.name));
    let mut table = String::from("| app | exercises | result |\n|---|---|---|\n");
    let mut failed = 0;
    for app in chosen {
        let result = tried(&app, &registry, verbose);
        let said = match &result {
            Ok(said) => said.clone(),
            Err(error) => {
                failed += 1;
                format!("**fails**: {}", format!("{error:#}").replace('\n', "; "))
            }
        };
        println!("{}: {}", app.name, said.replace("<br>", "\n    "));
        let folder = if app.folder.is_empty() { String::new() } else { format!(" `{}`", app.folder) };
        let (owner, name) = repository::slug(&app)?;
        let commit = &app.commit[..12];
        let _ = writeln!(
            table,
            "| [{owner}/{name}]({}/tree/{}){folder} at `{commit}` | {} | {} |",
            app.repository,
            app.commit,
            app.exercises,
            said.replace('|', "\\|")
        );
    }
    if let Some(path) = out {
        std::fs::write(path, format!("{}\n{table}", include_str!("../RESULTS.head.md")))?;
    }
    if failed > 0 {
        bail!("{failed} failed");
    }
    Ok(())
}

/// Installs an app and asks both; what there is to say of it.
fn tried(app: &App, registry: &str, verbose: bool) -> Result<String> {
    let at = repository::find(app)?;
    let (owner, repository) = repository::slug(app)?;
    let git = GitServer::new();
    git.share(&format!("{owner}/{repository}"), &at);
    let config = format!("[egress]\ntest_network = true\n[install]\nregistry = '{registry}'\n");
    let server = Server::with(ServerOptions { config, ..ServerOptions::default() });
    let folder = if app.folder.is_empty() { String::new() } else { format!("#{}", app.folder) };
    let source = format!("{}@{}{folder}", git.source(&format!("{owner}/{repository}")), app.commit);
    let installed = server.fazt(&["app", "install", &source, "--name", &app.name, "--yes", "--json"]);
    if !app.refused.is_empty() {
        ensure!(installed.code != 0, "it was installed, and should have been refused");
        let message = installed.error()["message"].as_str().unwrap_or_default().to_owned();
        let lacks = app.refused.iter().filter(|part| !message.contains(*part)).collect::<Vec<_>>();
        ensure!(lacks.is_empty(), "it is refused, but not for {lacks:?}: {message}");
        return Ok(format!("refused: {}", message.replace('\n', "; ")));
    }
    ensure!(
        installed.code == 0,
        "it is not installed: {}",
        installed.error()["message"].as_str().unwrap_or_default()
    );
    if verbose {
        println!("{}", installed.stdout);
    }
    if !app.vars.is_empty() {
        let vars: Vec<String> = app.vars.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let words: Vec<&str> =
            ["app", "env", &app.name, "set"].into_iter().chain(vars.iter().map(String::as_str)).collect();
        server.fazt(&words).ok();
    }
    let host = format!("{}.localhost:{}", app.name, server.address.port());
    // A stranger's app is for members; the owner is one.
    let mut browser = server.owner();
    let mut url = browser.url(&app.name, "/");
    // As far as signing in goes; where the app itself leads does not matter.
    while url.contains("localhost:") {
        let fields = [("accept", "text/html"), ("sec-fetch-mode", "navigate")];
        let response = browser.send("GET", &url, &fields, b"");
        let Some(to) =
            response.field("location").filter(|to| to.contains(":") || !browser.cookies.contains_key(&host))
        else {
            break;
        };
        let start =
            url.find("localhost").and_then(|at| url[at..].find('/').map(|end| at + end)).unwrap_or(url.len());
        url = if to.starts_with('/') { format!("{}{to}", &url[..start]) } else { to.to_owned() };
    }
    let own = browser.cookies.get(&host).cloned().unwrap_or_default();
    let mut ours = Visitor::new(server.address, &host, own);

    let checkout = repository::checkout(app, &at)?;
    let state = tempfile::tempdir()?;
    let mut workerd = Workerd::start(app, &checkout, state.path())?;
    let mut theirs = Visitor::new(workerd.address, &host, BTreeMap::new());
    let mut found = Vec::new();
    for (at, ask) in app.requests.iter().enumerate() {
        if let Some(number) = ask.cron {
            server.fazt(&["proc", "run", &app.name, &format!("cron-{number}")]).ok();
            workerd.run(&ask.schedule)?;
            continue;
        }
        let name = format!("{} {} {}", at + 1, ask.method, ask.path);
        let mine = ours.ask(ask).with_context(|| format!("Fazt: {name}"))?;
        let other = theirs.ask(ask).with_context(|| format!("workerd: {name}"))?;
        if verbose {
            println!("{name}: {} {:?}", other.status, other.text().chars().take(300).collect::<String>());
        }
        found.extend(compare::differences(
            &name,
            &app.volatile,
            &mine,
            &other,
            |text| ours.unfill(text),
            |text| theirs.unfill(text),
        ));
    }
    if verbose {
        println!("{}", server.fazt(&["proc", "logs", &app.name]).stdout);
    }
    judge(app, &found)
}

/// Holds what differs against what is known to.
fn judge(app: &App, found: &[String]) -> Result<String> {
    if let Some((says, why)) = &app.fails {
        ensure!(
            found.iter().any(|line| line.contains(says)),
            "it works now, or fails for another reason: {found:?}"
        );
        return Ok(format!("**does not work**: {why}"));
    }
    let is = |line: &str, known: &str| match known.strip_prefix("* ") {
        Some(rest) => line.splitn(4, ' ').nth(3).is_some_and(|what| what.starts_with(rest)),
        None => line.starts_with(known),
    };
    let new: Vec<&String> =
        found.iter().filter(|line| !app.differs.keys().any(|known| is(line, known))).collect();
    let gone: Vec<&String> =
        app.differs.keys().filter(|known| !found.iter().any(|line| is(line, known))).collect();
    ensure!(new.is_empty(), "{}", new.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n"));
    ensure!(gone.is_empty(), "no longer differs, take it out of list.json: {gone:?}");
    let mut said = format!("works: {} requests answered as by workerd", app.requests.len());
    for (known, why) in &app.differs {
        let _ = write!(said, "<br>but {}: {why}", known.replace("* ", "everywhere, "));
    }
    Ok(said)
}
