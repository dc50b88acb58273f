//! Why proc could not start, and why a request got no answer from its app.

use std::time::Duration;

/// Proc could not start or lost its launcher.
#[derive(Debug, thiserror::Error)]
pub enum ProcError {
    /// The channel to the launcher cannot be used.
    #[error("the launcher's channel: {0}")]
    Channel(#[source] std::io::Error),
    /// The folder for logs cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Path of the file or folder.
        path: std::path::PathBuf,
        /// Why not.
        source: std::io::Error,
    },
}

/// A request without an answer from its app. The edge makes a page of it; the visitor learns the status and
/// the request's id, the app's log has the rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DispatchError {
    /// The queue for workers is full.
    #[error("too many requests are waiting for this app")]
    Overloaded,
    /// No worker became ready in time.
    #[error("the app did not wake up in time")]
    WakeTimeout,
    /// The app crashed too often; the next try comes after this time.
    #[error("the app keeps crashing and is waiting before its next start")]
    Backoff(Duration),
    /// The app showed proof of compromise.
    #[error("the app is quarantined")]
    Quarantined,
    /// The sandbox could not make a worker.
    #[error("no worker could be made")]
    NoWorker,
    /// The app's top level threw or a module is missing.
    #[error("the app did not load")]
    LoadFailed,
    /// The app has no `fetch` handler.
    #[error("the app handles no requests")]
    NoHandler,
    /// The handler threw, or returned something that is no response.
    #[error("the app failed")]
    Exception,
    /// The CPU budget of the request is used up.
    #[error("the app used up its CPU time")]
    CpuExceeded,
    /// The app's memory is full.
    #[error("the app ran out of memory")]
    OutOfMemory,
    /// The request took longer than it may.
    #[error("the app took too long")]
    WallExceeded,
    /// The worker ended before it answered.
    #[error("the app's worker ended before it answered")]
    Died,
    /// A variable that the app requires is not set.
    #[error("the app is not set up yet: its owner has to set a variable")]
    NotSetUp,
    /// The request's head is larger than a worker is sent.
    #[error("the request's headers are too large")]
    RequestTooLarge,
    /// The server is stopping.
    #[error("the server is stopping")]
    Stopping,
}

impl DispatchError {
    /// HTTP status for the visitor.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        match self {
            Self::Overloaded
            | Self::Backoff(_)
            | Self::Quarantined
            | Self::NoWorker
            | Self::OutOfMemory
            | Self::NotSetUp
            | Self::Stopping
            | Self::WakeTimeout => 503,
            Self::LoadFailed | Self::NoHandler | Self::Exception => 500,
            Self::CpuExceeded | Self::WallExceeded => 504,
            Self::Died => 502,
            Self::RequestTooLarge => 431,
        }
    }

    /// Value of `Retry-After` in seconds, where trying again helps.
    #[must_use]
    pub fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::Overloaded | Self::NoWorker | Self::Stopping | Self::WakeTimeout => Some(1),
            Self::Backoff(wait) => Some(wait.as_secs().max(1)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_asks_to_come_back() {
        assert_eq!(
            (DispatchError::Overloaded.http_status(), DispatchError::Overloaded.retry_after_s()),
            (503, Some(1))
        );
        assert_eq!(DispatchError::Backoff(Duration::from_millis(10)).retry_after_s(), Some(1));
        assert_eq!(DispatchError::Exception.retry_after_s(), None);
    }
}
