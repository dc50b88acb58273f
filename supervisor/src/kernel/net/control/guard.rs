//! What stands before every operation: may whoever asks have it done, and that it was done is written down.

use std::sync::Arc;

use axum::extract::{RawPathParams, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use fazt_ipc::control::{Access, ErrorKind, Role};

use super::table::{Audit, Operation};
use super::{Control, Refused};
use crate::kernel::security::book::Scope;
use crate::kernel::security::{Commander, Need, Refusal, Subject};

/// More about an operation, for the audit log; a handler adds it to its answer.
#[derive(Debug, Clone)]
pub(super) struct Detail(pub(super) String);

/// Lets an operation happen, or says why not. A request that nobody vouched for has no [`Commander`].
pub(super) async fn guard(
    State((control, operation)): State<(Arc<Control>, &'static Operation)>,
    params: RawPathParams,
    request: Request,
    next: Next,
) -> Response {
    if operation.need == Need::Nothing {
        return next.run(request).await;
    }
    let Some(commander) = request.extensions().get::<Commander>().cloned() else {
        return unproved().into_response();
    };
    let target = params.iter().next().map(|(_, value)| value.to_owned()).unwrap_or_default();
    // A deploy is about the app that it goes to.
    let app = match operation.path {
        path if path.starts_with("/api/apps/{") => Some(target.clone()),
        path if path.starts_with("/api/deploys/") => {
            Some(control.fs.deploy_name(&target).unwrap_or_default())
        }
        _ => None,
    };
    let target = app.clone().unwrap_or(target);
    if let Err(refusal) = control.decide(&commander, operation.need, app.as_deref()).await {
        let refused = control.refusal(refusal, &commander, operation.need, app.as_deref());
        control.note(&commander, operation, &target, false, &refusal.to_string()).await;
        return refused.into_response();
    }
    let response = next.run(request).await;
    if operation.audit == Audit::Route {
        let detail = response.extensions().get::<Detail>().map(|detail| detail.0.clone()).unwrap_or_default();
        control.note(&commander, operation, &target, response.status().is_success(), &detail).await;
    }
    response
}

/// Nobody said who asks, or not so that it can be believed.
pub(crate) fn unproved() -> Refused {
    Refused::new(
        ErrorKind::Unauthenticated,
        "say who you are: Authorization: Bearer fazt_…",
        "make a token with fazt security token new --scope admin",
    )
}

impl Control {
    async fn decide(&self, commander: &Commander, need: Need, app: Option<&str>) -> Result<(), Refusal> {
        let subject = match app {
            None => None,
            Some(name) => {
                let id = self.fs.route(name);
                // Only for an admin does it matter whom the app is for; whose access cannot be told is the owner's.
                let access = match id {
                    Some(id) if commander.role() == Role::Admin => {
                        Some(self.fs.release(id).await.map_or(Access::Owner, |release| release.access))
                    }
                    _ => None,
                };
                Some(Subject { app: id, access })
            }
        };
        commander.may(need, subject)
    }

    /// Says what a token lacks.
    fn refusal(&self, refusal: Refusal, commander: &Commander, need: Need, app: Option<&str>) -> Refused {
        let hint = match refusal {
            Refusal::Console => "run the command on the machine of the server".to_owned(),
            Refusal::Member => "ask the owner, or use a token of an admin".to_owned(),
            Refusal::Owner => "use a token of the owner".to_owned(),
            Refusal::Scope => {
                let narrow = match need {
                    Need::App => Some("app"),
                    Need::Deploy => Some("deploy"),
                    _ => None,
                };
                match narrow.zip(app.filter(|name| self.fs.route(name).is_some())) {
                    Some((narrow, name)) => format!(
                        "the scope {narrow}:{name} would do, or admin: fazt security token new --scope {narrow}:{name}"
                    ),
                    None => "the scope admin would do: fazt security token new --scope admin".to_owned(),
                }
            }
        };
        let message = match refusal {
            Refusal::Scope => format!(
                "this token has the scope {}, which does not reach that far",
                self.scope(commander.scope())
            ),
            _ => refusal.to_string(),
        };
        Refused::new(ErrorKind::PermissionDenied, message, hint)
    }

    /// A scope in words.
    pub(super) fn scope(&self, scope: Scope) -> String {
        match scope {
            Scope::Admin => "admin".to_owned(),
            Scope::App(app) => format!("app:{}", self.app_name(app)),
            Scope::Deploy(app) => format!("deploy:{}", self.app_name(app)),
        }
    }

    async fn note(&self, commander: &Commander, operation: &Operation, target: &str, ok: bool, detail: &str) {
        let token = commander.token().map(|token| token.to_string()).unwrap_or_default();
        let detail = [token.as_str(), detail].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        let target: String = target.chars().take(80).collect();
        let (who, client) = (commander.name(), commander.client());
        self.identity.note(who, operation.name, &target, ok, client, &detail.join(": ")).await;
    }
}
