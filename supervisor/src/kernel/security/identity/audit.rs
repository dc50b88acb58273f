//! The audit log: every decision about people, written down before whoever asked hears of it.

use fazt_ipc::control::AuditLine;
use fazt_ipc::ids::AppId;
use tokio::sync::broadcast;

use super::super::edge::{Denied, Person};
use super::{Client, Identity, IdentityError, KNOWN_MAX};

/// Who commands over the control socket, in the log.
pub const CONSOLE: &str = "console";
/// Lines of one answer.
const LINES_MAX: u32 = 10_000;
/// The same refusal is written down once in this time.
const AGAIN_MS: u64 = 60_000;

impl Identity {
    /// Writes a decision down. A log that cannot be written is told to the operator, and does not stop people
    /// from signing out.
    pub async fn note(
        &self,
        who: &str,
        action: &str,
        target: &str,
        ok: bool,
        client: Option<&Client>,
        detail: &str,
    ) {
        let line = AuditLine {
            unix_ms: self.world.now_ms(),
            who: who.to_owned(),
            action: action.to_owned(),
            target: target.to_owned(),
            ok,
            address: client.map_or_else(String::new, |client| client.address.to_canonical().to_string()),
            detail: detail.to_owned(),
        };
        let written = line.clone();
        if let Err(error) = self.ask(move |book| book.note(&written)).await {
            tracing::error!(%error, who, action, target, "the audit log cannot be written");
        }
        // Nobody may be following.
        let _ = self.audit.send(line);
    }

    /// Writes down that somebody was turned away from an app; the same one again only after a while.
    pub async fn turned_away(&self, person: &Person, app: AppId, why: Denied, client: &Client) {
        let now = self.world.now_ms();
        {
            let mut cache = self.cache();
            let noted = &mut cache.noted;
            if noted.get(&(person.id(), app)).is_some_and(|last| now < last + AGAIN_MS) {
                return;
            }
            if noted.len() >= KNOWN_MAX {
                noted.clear();
            }
            noted.insert((person.id(), app), now);
        }
        self.note(person.name(), "app.enter", &app.to_string(), false, Some(client), &why.to_string()).await;
    }

    /// Writes down that an operator looked at what somebody stores.
    pub async fn looked(&self, who: &str, action: &str, target: &str, detail: &str) {
        self.note(who, action, target, true, None, detail).await;
    }

    /// Decisions since then, and those to come.
    ///
    /// # Errors
    /// When the book cannot be read.
    pub async fn audit(
        &self,
        since_ms: u64,
    ) -> Result<(Vec<AuditLine>, broadcast::Receiver<AuditLine>), IdentityError> {
        let more = self.audit.subscribe();
        let lines = self.ask(move |book| book.audit(since_ms, LINES_MAX)).await?;
        Ok((lines, more))
    }
}
