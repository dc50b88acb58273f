//! What an app asks for, shown in plain words, and what the owner says to it. Texts of apps are hostile: they are
//! cleaned before they reach a terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use fazt_ipc::control::{Answer, Consent, ErrorKind, GrantChange, GrantList, PermissionInfo, Review, Risk};

use crate::client::{Client, part};
use crate::error::{Done, problem};
use crate::output::{Colour, Out};
use crate::table::Table;
use crate::text;

/// What a script says beforehand, where a person would be asked.
#[derive(clap::Args, Clone, Default)]
pub(crate) struct Said {
    /// Grant what the app asks for and nobody answered yet; ask nothing
    #[arg(short, long, conflicts_with = "grant")]
    pub(crate) yes: bool,
    /// Grant these of what it asks for, refuse the rest, ask nothing; `none` refuses all
    #[arg(long, value_name = "PERMISSION", value_delimiter = ',')]
    pub(crate) grant: Vec<String>,
}

/// What was said beforehand; none: nothing.
fn told(said: &Said) -> Option<Consent> {
    if said.yes {
        return Some(Consent { all: true, grant: Vec::new() });
    }
    let grant = said.grant.iter().filter(|text| *text != "none").cloned().collect();
    (!said.grant.is_empty()).then_some(Consent { all: false, grant })
}

/// What is said to the version of an open deploy or install at `url`: as told, else as a person answers at the
/// terminal, else nothing.
pub(super) async fn consent(client: &Client, url: &str, said: &Said, out: Out) -> Done<Option<Consent>> {
    if let Some(consent) = told(said) {
        return Ok(Some(consent));
    }
    if out.json || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    asked(&client.get(url).await?, out)
}

/// Asks at the terminal about what nobody answered yet.
fn asked(review: &Review, out: Out) -> Done<Option<Consent>> {
    let open: Vec<&PermissionInfo> = review
        .permissions
        .iter()
        .filter(|info| matches!(info.answer, Answer::New | Answer::Unanswered))
        .collect();
    if open.is_empty() {
        return Ok(None);
    }
    let app = text::clean(&review.app).into_owned();
    let more = if review.exists { "asks for more" } else { "asks for" };
    out.note(format!("{app} {more}:"));
    for line in lines(&open, out) {
        out.note(line);
    }
    loop {
        match ask("Grant all (y), choose (c), none (n), or stop here (q)?").as_deref() {
            Some("y" | "yes") => return Ok(Some(Consent { all: true, grant: Vec::new() })),
            Some("n" | "no") => return Ok(Some(Consent::default())),
            Some("c") => return Ok(Some(choose(&open, &app))),
            Some("q") | None => {
                return Err(problem(ErrorKind::Failed, format!("{app} was not changed"), ""));
            }
            Some(_) => {}
        }
    }
}

fn choose(open: &[&PermissionInfo], app: &str) -> Consent {
    let yes = |info: &&&PermissionInfo| {
        let question = format!("May {app} {}? (y/n)", text::clean(&info.means));
        matches!(ask(&question).as_deref(), Some("y" | "yes"))
    };
    let grant = open.iter().filter(yes).map(|info| info.permission.clone()).collect();
    Consent { all: false, grant }
}

/// An answer from the terminal, in lower case; none at its end.
fn ask(question: &str) -> Option<String> {
    let _ = write!(io::stderr(), "{question} ");
    let _ = io::stderr().flush();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer).ok()?;
    (read > 0).then(|| answer.trim().to_lowercase())
}

/// Permissions by what they can cost, each with the app's reason.
pub(super) fn lines(permissions: &[&PermissionInfo], out: Out) -> Vec<String> {
    let mut lines = Vec::new();
    for (risk, colour, title) in [
        (Risk::High, Colour::Red, "data can leave the server, or come from other apps"),
        (Risk::Medium, Colour::Yellow, "reaches other people"),
        (Risk::Low, Colour::Dim, "stays within the app's own quota"),
    ] {
        let group: Vec<_> = permissions.iter().filter(|info| info.risk == risk).collect();
        if group.is_empty() {
            continue;
        }
        lines.push(format!("  {}", out.paint(colour, title)));
        for info in group {
            let (means, name) = (text::clean(&info.means), text::clean(&info.permission));
            let reason = match info.reason.as_str() {
                "" => String::new(),
                reason => format!(" “{}”", text::clean(reason)),
            };
            let answer = match info.answer {
                Answer::New => String::new(),
                answer => format!(" ({answer})"),
            };
            lines.push(format!("    {means}{answer}{reason}  {}", out.paint(Colour::Dim, &name)));
        }
    }
    lines
}

/// Says what a live version may and may not.
pub(super) fn outcome(app: &str, permissions: &[PermissionInfo], out: Out) {
    let those = |wanted: &[Answer]| -> Vec<&str> {
        let those = permissions.iter().filter(|info| wanted.contains(&info.answer));
        those.map(|info| info.permission.as_str()).collect()
    };
    let granted = those(&[Answer::Granted]);
    if !granted.is_empty() {
        out.line(format!("  granted: {}", text::clean(&granted.join(", "))));
    }
    let lacking = those(&[Answer::Refused, Answer::Unanswered, Answer::New]);
    if !lacking.is_empty() {
        let list = text::clean(&lacking.join(" ")).into_owned();
        let label = out.paint(Colour::Yellow, "not granted:");
        out.line(format!("  {label} {}; change it: fazt app grant {app} {list}", list.replace(' ', ", ")));
    }
}

/// Shows what a deploy would make live.
pub(super) fn print(review: &Review, out: Out) {
    let version = match review.version.as_str() {
        "" => String::new(),
        version => format!(" {}", text::clean(version)),
    };
    let what = if review.exists { "a new version of it" } else { "a new app" };
    let (files, bytes) = (text::count(review.files, "file"), text::bytes(review.bytes));
    out.line(format!("{}{version} would be {what}: {files}, {bytes}", text::clean(&review.app)));
    for text in [&review.description, &review.homepage, &review.license] {
        if !text.is_empty() {
            out.line(format!("  {}", text::clean(text)));
        }
    }
    if let Some(origin) = &review.origin {
        out.line(format!("  from {}", text::clean(&origin.source)));
        out.line(format!("  commit {}, tree {}", text::clean(&origin.commit), text::clean(&origin.tree)));
    }
    if review.permissions.is_empty() {
        out.line("  asks for nothing");
    } else {
        out.line("  asks for:");
        lines(&review.permissions.iter().collect::<Vec<_>>(), out).iter().for_each(|line| out.line(line));
    }
    if review.waits {
        out.line("  waits for an answer: --yes, or --grant PERMISSION,… for some of it, or --grant none");
    }
}

fn url(app: &str) -> String {
    format!("/api/apps/{}/grants", part(app))
}

/// `fazt app grants`
pub(super) async fn grants(client: &Client, app: &str, out: Out) -> Done {
    let list: GrantList = client.get(&url(app)).await?;
    out.show(&list, |list| table(list, out))
}

/// `fazt app grant`, `fazt app revoke`
pub(super) async fn change(client: &Client, app: &str, change: GrantChange, out: Out) -> Done {
    let list: GrantList = client.post(&url(app), &change).await?;
    out.show(&list, |list| {
        for (texts, colour, word) in
            [(&change.grant, Colour::Green, "granted"), (&change.revoke, Colour::Yellow, "revoked")]
        {
            if !texts.is_empty() {
                let (app, texts) = (text::clean(&list.app), texts.join(", "));
                out.line(format!("{} {app} {}", out.paint(colour, word), text::clean(&texts)));
            }
        }
    })
}

fn table(list: &GrantList, out: Out) {
    if list.permissions.is_empty() {
        out.line(format!("{} asks for nothing", text::clean(&list.app)));
        return;
    }
    let mut table = Table::new(&["PERMISSION", "ANSWER", "SINCE", "BY", "WHAT IT MAY", "WHY"]);
    let now = text::now_ms();
    for info in &list.permissions {
        let since = info.answered_unix_ms.map_or_else(|| "-".to_owned(), |at| text::ago(at, now));
        let by = info.answered_by.clone().unwrap_or_else(|| "-".into());
        let why = if info.reason.is_empty() { "-".to_owned() } else { info.reason.clone() };
        table.row([info.permission.clone(), info.answer.to_string(), since, by, info.means.clone(), why]);
    }
    out.table(&table);
}
