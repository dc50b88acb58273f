//! `fazt proc logs`, `fazt proc trace`.

use fazt_ipc::control::{LogLine, TraceLine};
use fazt_ipc::wire::worker::LogLevel;

use crate::client::{Client, part};
use crate::error::{Done, invalid};
use crate::output::{Colour, Out};
use crate::text;

pub(super) async fn logs(client: &Client, app: &str, follow: bool, since: Option<&str>, out: Out) -> Done {
    let since_ms = match since {
        None => 0,
        Some(text) => text::since(text, text::now_ms()).ok_or_else(|| {
            invalid(format!("--since {text} is not a time"), "say 30s, 10m, 2h, 3d, or 2026-11-20T08:30")
        })?,
    };
    if follow {
        return self::follow(client, app, since_ms, out).await;
    }
    let mut lines = Vec::new();
    client
        .lines(&path(app, since_ms, false), |line: LogLine| {
            if out.json {
                lines.push(line)
            } else {
                print(&line, out)
            }
            Ok(())
        })
        .await?;
    if out.json { out.document(&lines) } else { Ok(()) }
}

fn path(app: &str, since_ms: u64, follow: bool) -> String {
    format!("/api/apps/{}/logs?since_ms={since_ms}&follow={follow}", part(app))
}

/// Prints lines as they come; with `--json` a document for each.
pub(crate) async fn follow(client: &Client, app: &str, since_ms: u64, out: Out) -> Done {
    client
        .lines(&path(app, since_ms, true), |line: LogLine| {
            if out.json {
                return out.document_line(&line);
            }
            print(&line, out);
            Ok(())
        })
        .await
}

/// Prints one line for people.
pub(crate) fn print(line: &LogLine, out: Out) {
    let level = match line.level {
        LogLevel::Debug => out.paint(Colour::Dim, "debug"),
        LogLevel::Info => "info ".to_owned(),
        LogLevel::Warn => out.paint(Colour::Yellow, "warn "),
        LogLevel::Error => out.paint(Colour::Red, "error"),
    };
    let time = out.paint(Colour::Dim, &text::timestamp(line.unix_ms));
    // An error page names the request: that of an error stands here too.
    let request = if line.level == LogLevel::Error { &line.request } else { "" };
    let whence: Vec<_> =
        [line.origin.as_str(), request].into_iter().filter(|part| !part.is_empty()).collect();
    let origin = match &*text::clean(&whence.join(", ")) {
        "" => String::new(),
        whence => out.paint(Colour::Dim, &format!("  ({whence})")),
    };
    // Further lines (a stack) stand under the first.
    let body = text::clean_lines(&line.text).trim_end().replace('\n', "\n    ");
    let (first, rest) = body.split_once('\n').unwrap_or((&body, ""));
    out.line(format!("{time} {level} {first}{origin}"));
    if !rest.is_empty() {
        out.line(rest);
    }
}

pub(super) async fn trace(client: &Client, app: &str, out: Out) -> Done {
    client
        .lines(&format!("/api/apps/{}/trace", part(app)), |line: TraceLine| {
            if out.json {
                return out.document_line(&line);
            }
            let (ms, us) = (line.at_us / 1_000, line.at_us % 1_000);
            out.line(format!(
                "{ms:>8}.{us:03} ms  {:>5} {} {:<14} stream {:<4} {:>6} B  {}",
                line.generation,
                text::clean(&line.direction.to_string()),
                text::clean(&line.kind),
                line.stream,
                line.bytes,
                text::clean(&line.detail)
            ));
            Ok(())
        })
        .await
}
