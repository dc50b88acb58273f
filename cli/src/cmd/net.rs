//! `fazt net`: what apps reach elsewhere, and by what the server is known.

use clap::Subcommand;
use fazt_ipc::control::{CertificateList, EgressLine, EgressOutcome};

use crate::client::{Client, part};
use crate::error::{Done, invalid};
use crate::output::{Colour, Out};
use crate::table::Table;
use crate::text;

#[derive(Subcommand)]
pub(crate) enum Verb {
    /// List the certificates that the server shows
    ///
    /// There is one for each host that somebody asked for. With `tls.mode = "auto"` in config.toml an authority issues
    /// them; what it refuses is shown with its reason, and asked for again. Where the server makes them itself
    /// (`"self-signed"`), browsers warn until they trust its root; --root prints it.
    #[command(after_help = "Examples:\n  fazt net certs\n  fazt net certs --root > fazt-root.pem")]
    Certs {
        /// Print the root that clients have to trust, in PEM, and nothing else
        #[arg(long)]
        root: bool,
    },
    /// Print what an app reached elsewhere by `fetch`, and what it was refused
    ///
    /// The last 200 requests are remembered until the server stops. Of a URL what is behind its path is not among
    /// them, nor is any header or body: keys are written there.
    #[command(after_help = "Examples:\n  fazt net egress notes --since 10m\n  fazt net egress notes -f")]
    Egress {
        /// Name of the app
        app: String,
        /// Go on as requests end
        #[arg(short, long)]
        follow: bool,
        /// From when: 30s, 10m, 2h, 3d ago, or a UTC time such as 2026-11-20T08:30
        #[arg(long, value_name = "T")]
        since: Option<String>,
    },
}

pub(crate) async fn run(verb: Verb, client: &Client, out: Out) -> Done {
    match verb {
        Verb::Certs { root } => certs(client, root, out).await,
        Verb::Egress { app, follow, since } => egress(client, &app, follow, since.as_deref(), out).await,
    }
}

async fn certs(client: &Client, root: bool, out: Out) -> Done {
    let list: CertificateList = client.get("/api/certificates").await?;
    let off = list.mode == "off";
    if root && !out.json {
        let pem = list.root_pem.ok_or_else(|| {
            let why =
                if off { "this server speaks no TLS" } else { "clients trust its certificates already" };
            invalid(
                format!("there is no root to trust: {why}"),
                "set tls.mode in config.toml, and restart it",
            )
        })?;
        out.line(pem.trim_end());
        return Ok(());
    }
    out.show(&list, |list| {
        if list.certificates.is_empty() {
            return out.line(match off {
                true => "TLS is off. To serve HTTPS, set tls.mode in config.toml and restart the server.",
                false => "Nobody has asked for a host over HTTPS yet.",
            });
        }
        let mut table = Table::new(&["HOST", "ISSUED BY", "GOOD UNTIL", "RENEWED FROM"]);
        for one in &list.certificates {
            let day = |unix_ms| match unix_ms {
                0 => "-".to_owned(),
                unix_ms => text::timestamp(unix_ms).chars().take(10).collect::<String>(),
            };
            let by = if one.issued { "the authority" } else { "this server" };
            let host = text::clean(&one.host).into_owned();
            table.row([host, by.to_owned(), day(one.expires_unix_ms), day(one.renew_unix_ms)]);
        }
        out.table(&table);
        for one in list.certificates.iter().filter(|one| !one.trouble.is_empty()) {
            let next = one.try_unix_ms.map_or_else(String::new, |at| {
                format!("; asked again at {}", text::timestamp(at.max(text::now_ms())))
            });
            out.line(format!(
                "{} {}: {}{next}",
                out.paint(Colour::Yellow, "no certificate for"),
                text::clean(&one.host),
                text::clean(&one.trouble)
            ));
        }
        if list.root_pem.is_some() {
            out.note("Browsers warn until they trust the root: fazt net certs --root");
        }
    })
}

async fn egress(client: &Client, app: &str, follow: bool, since: Option<&str>, out: Out) -> Done {
    let since_ms = match since {
        None => 0,
        Some(text) => text::since(text, text::now_ms()).ok_or_else(|| {
            invalid(format!("--since {text} is not a time"), "say 30s, 10m, 2h, 3d, or 2026-11-20T08:30")
        })?,
    };
    let path = format!("/api/apps/{}/egress?since_ms={since_ms}&follow={follow}", part(app));
    let (mut lines, mut none) = (Vec::new(), true);
    client
        .lines(&path, |line: EgressLine| {
            none = false;
            match (out.json, follow) {
                (true, true) => out.document_line(&line)?,
                (true, false) => lines.push(line),
                (false, _) => print(&line, out),
            }
            Ok(())
        })
        .await?;
    if out.json && !follow {
        return out.document(&lines);
    }
    if none && !follow {
        let when = if since.is_some() { "since then" } else { "since the server started" };
        out.note(format!("{} asked nobody elsewhere {when}", text::clean(app)));
    }
    Ok(())
}

fn print(line: &EgressLine, out: Out) {
    let time = out.paint(Colour::Dim, &text::timestamp(line.unix_ms));
    let outcome = match (line.outcome, line.status) {
        (EgressOutcome::Done, Some(status)) => format!("{status:<7}"),
        (EgressOutcome::Done, None) => "done   ".to_owned(),
        (EgressOutcome::Refused, _) => out.paint(Colour::Red, "refused"),
        (EgressOutcome::Failed, _) => out.paint(Colour::Yellow, "failed "),
        (EgressOutcome::Cut, _) => out.paint(Colour::Dim, "cut    "),
    };
    let kept = if line.cached { ", kept" } else { "" };
    let why = match &*text::clean(&line.why) {
        "" => String::new(),
        why => format!("  {why}"),
    };
    out.line(format!(
        "{time} {outcome} {} {}  {} ms, {} B{kept}{why}",
        text::clean(&line.method),
        text::clean(&line.url),
        line.ms,
        line.received_bytes
    ));
}
