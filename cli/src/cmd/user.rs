//! `fazt user`: people who may sign in, and their sessions.

use std::io::{self, BufRead as _};

use clap::Subcommand;
use fazt_ipc::control::{
    AddedUser, Admission, ErrorKind, NewInvite, NewLink, NewPassword, NewRole, NewUser, Role, SessionInfo,
    SignInLink, UserInfo,
};

use crate::client::{Client, part};
use crate::error::{Done, failed, invalid, problem};
use crate::output::{Colour, Out, confirm};
use crate::secret;
use crate::table::Table;
use crate::text;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// Add somebody; prints the link with which they choose a password
    #[command(
        after_help = "Examples:\n  fazt user add anna\n  fazt user add bo --role admin\n  fazt user add guest --app notes"
    )]
    Add {
        /// Name to sign in with
        name: String,
        /// member or admin
        #[arg(long, default_value = "member")]
        role: Role,
        /// An app for members that they may use, several times for several [default: all of them]
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<String>,
    },
    /// Print a link with which somebody chooses a name and a password, once
    #[command(after_help = "Examples:\n  fazt user invite\n  fazt user invite --app notes --expires 1d")]
    Invite {
        /// member or admin
        #[arg(long, default_value = "member")]
        role: Role,
        /// An app for members that they may use, several times for several [default: all of them]
        #[arg(long = "app", value_name = "APP")]
        apps: Vec<String>,
        /// When the link is worthless: 2h, 3d [default: 3d]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// List the users
    #[command(after_help = "Example:\n  fazt user list --json")]
    List,
    /// Say which apps for members somebody may use
    #[command(after_help = "Examples:\n  fazt user apps anna notes drive\n  fazt user apps anna --all")]
    Apps {
        /// Name of the user
        name: String,
        /// The apps; those that are not named they may use no more
        #[arg(required_unless_present = "all")]
        apps: Vec<String>,
        /// All apps for members, those to come included
        #[arg(long, conflicts_with = "apps")]
        all: bool,
    },
    /// Remove somebody: they are signed out everywhere, what runs for them ends
    #[command(
        long_about = "Remove somebody: they are signed out everywhere, what runs for them ends\n\nWhat they stored in apps stays in the apps' files, where nobody else reaches it; `fazt storage export-user` gives it to them before.",
        after_help = "Example:\n  fazt user remove anna --yes"
    )]
    Remove {
        /// Name of the user
        name: String,
        /// Ask nothing
        #[arg(short, long)]
        yes: bool,
    },
    /// Say what somebody may do: it holds at once
    #[command(after_help = "Examples:\n  fazt user role anna admin\n  fazt user role anna member")]
    Role {
        /// Name of the user
        name: String,
        /// member or admin
        role: Role,
    },
    /// Print a link with which somebody chooses a new password, once, within an hour; or set one
    #[command(
        long_about = "Print a link with which somebody chooses a new password, once, within an hour; or set one\n\nA new password signs them out everywhere and ends their tokens, links and passkeys; whoever opens the link may keep the passkeys. Codes of an authenticator app go on being asked for unless they are reset.",
        after_help = "Examples:\n  fazt user passwd anna\n  fazt user passwd anna --reset-totp\n  fazt user passwd anna --stdin"
    )]
    Passwd {
        /// Name of the user
        name: String,
        /// Print a link: what happens anyway
        #[arg(long, conflicts_with = "stdin", hide = true)]
        link: bool,
        /// Set the password that is typed, or in the first line of standard input
        #[arg(long)]
        stdin: bool,
        /// Ask for codes of their authenticator app no more
        #[arg(long)]
        reset_totp: bool,
    },
    /// List somebody's sessions
    #[command(after_help = "Example:\n  fazt user sessions anna")]
    Sessions {
        /// Name of the user
        name: String,
    },
    /// End a session: that browser is signed out, what runs for it ends
    #[command(after_help = "Example:\n  fazt user revoke-session sess_01kaaaaaaaaaaaaaaaaaaaaaaa")]
    RevokeSession {
        /// Its id, as `fazt user sessions` shows it
        id: String,
    },
}

pub(crate) async fn run(verb: Verb, client: &Client, out: Out) -> Done {
    match verb {
        Verb::Add { name, role, apps } => add(client, NewUser { name, role, apps: some(apps) }, out).await,
        Verb::Invite { role, apps, expires } => {
            let expires_s = expires.as_deref().map(life_s).transpose()?;
            let link: SignInLink =
                client.post("/api/invites", &NewInvite { role, apps: some(apps), expires_s }).await?;
            out.show(&link, |link| print_link(link, "Whoever opens this link first becomes a user", out))
        }
        Verb::List => list(client, out).await,
        Verb::Apps { name, apps, all } => {
            let apps = if all { None } else { Some(apps) };
            let user: UserInfo = client.post(&format!("{}/apps", url(&name)), &Admission { apps }).await?;
            out.show(&user, |user| {
                out.line(format!("{} may use {}", text::clean(&user.name), text::clean(&apps_of(user))));
            })
        }
        Verb::Remove { name, yes } => remove(client, &name, yes, out).await,
        Verb::Role { name, role } => {
            let user: UserInfo = client.post(&format!("{}/role", url(&name)), &NewRole { role }).await?;
            out.show(&user, |user| {
                let article = if user.role == Role::Member { "a" } else { "an" };
                out.line(format!("{} is {article} {} now", text::clean(&user.name), user.role));
            })
        }
        Verb::Passwd { name, stdin: false, reset_totp, link: _ } => {
            let link: SignInLink =
                client.post(&format!("{}/link", url(&name)), &NewLink { reset_totp }).await?;
            out.show(&link, |link| print_link(link, "A new password can be chosen here", out))
        }
        Verb::Passwd { name, reset_totp, .. } => passwd(client, &name, reset_totp, out).await,
        Verb::Sessions { name } => sessions(client, &name, out).await,
        Verb::RevokeSession { id } => {
            client.delete(&format!("/api/sessions/{}", part(&id))).await?;
            out.show(&serde_json::json!({ "session": id, "revoked": true }), |_| {
                out.line(format!("{} {}", out.paint(Colour::Yellow, "revoked"), text::clean(&id)));
            })
        }
    }
}

fn url(name: &str) -> String {
    format!("/api/users/{}", part(name))
}

/// None named: all of them.
fn some(apps: Vec<String>) -> Option<Vec<String>> {
    if apps.is_empty() { None } else { Some(apps) }
}

/// `2h` as seconds.
pub(crate) fn life_s(text: &str) -> Done<u64> {
    let wrong = || invalid(format!("{text} is not a length of time"), "say 30m, 12h or 3d");
    let now = u64::MAX / 2;
    let then = text::since(text, now).filter(|_| text.ends_with(|c: char| c.is_ascii_lowercase()));
    match then.map(|then| (now - then) / 1_000) {
        Some(seconds) if seconds > 0 => Ok(seconds),
        _ => Err(wrong()),
    }
}

fn print_link(link: &SignInLink, what: &str, out: Out) {
    out.line(format!("{what}, once, until {}:", text::timestamp(link.expires_unix_ms)));
    out.line(format!("  {}", text::clean(&link.url)));
}

async fn add(client: &Client, new: NewUser, out: Out) -> Done {
    let added: AddedUser = client.post("/api/users", &new).await?;
    out.show(&added, |added| {
        let name = text::clean(&added.user.name);
        out.line(format!("{} {name}, {}", out.paint(Colour::Green, "added"), added.user.role));
        print_link(&added.link, &format!("{name} chooses a password here"), out);
    })
}

fn apps_of(user: &UserInfo) -> String {
    match &user.apps {
        _ if user.role > Role::Member => "all".to_owned(),
        None => "all".to_owned(),
        Some(apps) if apps.is_empty() => "none".to_owned(),
        Some(apps) => apps.join(", "),
    }
}

async fn list(client: &Client, out: Out) -> Done {
    let users: Vec<UserInfo> = client.get("/api/users").await?;
    out.show(&users, |users| {
        let mut table = Table::new(&["NAME", "ROLE", "APPS", "PASSWORD", ">SESSIONS", "ADDED"]);
        let now = text::now_ms();
        for user in users {
            table.row([
                user.name.clone(),
                user.role.to_string(),
                apps_of(user),
                match (user.password, user.totp) {
                    (false, _) => "not yet",
                    (true, false) => "set",
                    (true, true) => "set, and codes",
                }
                .to_owned(),
                user.sessions.to_string(),
                text::ago(user.created_unix_ms, now),
            ]);
        }
        out.table(&table);
    })
}

async fn remove(client: &Client, name: &str, yes: bool, out: Out) -> Done {
    let clean = text::clean(name).into_owned();
    if !yes {
        match confirm(&format!("Remove {clean}? They are signed out everywhere.")) {
            Some(true) => {}
            Some(false) => return Err(problem(ErrorKind::Failed, "nobody was removed", "")),
            None => {
                return Err(invalid(
                    format!("{clean} was not removed: there is no terminal to ask on"),
                    format!("fazt user remove {clean} --yes"),
                ));
            }
        }
    }
    client.delete(&url(name)).await?;
    out.show(&serde_json::json!({ "user": name, "removed": true }), |_| {
        out.line(format!("{} {clean}", out.paint(Colour::Yellow, "removed")));
    })
}

async fn passwd(client: &Client, name: &str, reset_totp: bool, out: Out) -> Done {
    let first = secret::ask(&format!("New password for {}: ", text::clean(name)))?;
    let password = match first {
        Some(first) if secret::ask("The same again: ")?.as_deref() == Some(&first) => first,
        Some(_) => return Err(invalid("the two passwords are not the same", "")),
        None => {
            let mut line = String::new();
            let read = io::stdin().lock().read_line(&mut line);
            read.map_err(|error| failed(format!("cannot read the password: {error}")))?;
            line.trim_end_matches(['\r', '\n']).to_owned()
        }
    };
    let new = NewPassword { password, reset_totp };
    let done: serde_json::Value = client.post(&format!("{}/password", url(name)), &new).await?;
    drop(done);
    out.show(&serde_json::json!({ "user": name, "password_set": true }), |_| {
        let name = text::clean(name);
        out.line(format!(
            "The password of {name} is set. Their sessions, links, tokens and passkeys have ended."
        ));
    })
}

async fn sessions(client: &Client, name: &str, out: Out) -> Done {
    let sessions: Vec<SessionInfo> = client.get(&format!("{}/sessions", url(name))).await?;
    out.show(&sessions, |sessions| {
        if sessions.is_empty() {
            out.line(format!("{} is not signed in anywhere.", text::clean(name)));
            return;
        }
        let mut table = Table::new(&["ID", "AT", "OPENED", "SEEN", "ADDRESS", "CLIENT"]);
        let now = text::now_ms();
        for session in sessions {
            table.row([
                session.id.to_string(),
                session.app.clone().unwrap_or_else(|| "home".to_owned()),
                text::ago(session.created_unix_ms, now),
                text::ago(session.seen_unix_ms, now),
                session.address.clone(),
                session.agent.chars().take(40).collect(),
            ]);
        }
        out.table(&table);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        for (text, seconds) in [("30m", Some(1_800)), ("3d", Some(259_200)), ("10s", Some(10))] {
            assert_eq!(life_s(text).ok(), seconds, "{text}");
        }
        for text in ["", "3", "0s", "-1d", "2026-11-20", "1y", "99999999999999999999d"] {
            assert!(life_s(text).is_err(), "{text}");
        }
    }
}
