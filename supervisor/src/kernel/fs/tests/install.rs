//! Apps from elsewhere, without a network: what a server does that says nothing.

use tokio::sync::mpsc;

use super::*;
use crate::kernel::fs::outbound::{Answered, Caller, Fault, Outgoing, Sending};

/// Nobody answers.
struct Silence;

impl Outbound for Silence {
    fn fetch(&self, _: Outgoing, _: Option<Box<dyn Sending>>) -> BoxFuture<'static, Result<Answered, Fault>> {
        std::future::pending().boxed()
    }

    fn refused(&self, _: Caller, _: &str, _: &str, _: &str) {}
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_holds_nobody_up_for_ever() {
    let folder = tempfile::tempdir().expect("a folder");
    let fs = open(folder.path(), &FakeBuilder::new()).await;
    fs.reach_out_by(Arc::new(Silence));
    let (told, _lines) = mpsc::channel(LINES_MAX);
    let install = || {
        let wanted = Wanted::Install { source: "github.com/eve/app".into(), name: None };
        Arc::clone(&fs).fetch_app(wanted, None, false, Told(told.clone()))
    };
    let (first, second) = tokio::join!(install(), install());
    for line in [first, second] {
        let fazt_ipc::control::InstallLine::Failed { error } = line else { panic!("{line:?}") };
        assert!(error.message.contains("10 minutes"), "{error}");
    }
    assert_eq!(fs.count(), 0);
}
