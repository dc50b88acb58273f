//! Lanes: what one app, or the kernel for one purpose, keeps from one request to the next. Nothing is shared between two
//! of them: a connection that one app has opened and perhaps signed in on is no other app's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;

use super::cache::Cache;
use super::connect::Connector;
use super::limits::{BUFFER_BYTES_MAX, DECODERS_MIB_PER_LANE, IDLE, IDLE_PER_HOST, LANES_MAX, WINDOW_BYTES};
use super::upload::Upload;

/// One lane.
pub(super) struct Lane {
    pub(super) client: Client<Connector, Upload>,
    /// Memory that its decompression may take.
    pub(super) decoders: Arc<Semaphore>,
    cache: Mutex<Cache>,
}

impl Lane {
    /// What was answered before.
    pub(super) fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lanes that were used last.
pub(super) struct Lanes {
    connector: Connector,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lanes: HashMap<u64, (u64, Arc<Lane>)>,
    turn: u64,
}

impl Lanes {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, kept: Mutex::default() }
    }

    /// The lane of this number. The one that was used least lately makes room; its requests go on.
    pub(super) fn lane(&self, number: u64) -> Arc<Lane> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.turn += 1;
        let turn = kept.turn;
        if let Some((used, lane)) = kept.lanes.get_mut(&number) {
            *used = turn;
            return Arc::clone(lane);
        }
        if kept.lanes.len() >= LANES_MAX {
            let oldest = kept.lanes.iter().min_by_key(|(_, (used, _))| *used).map(|(number, _)| *number);
            oldest.and_then(|oldest| kept.lanes.remove(&oldest));
        }
        let lane = Arc::new(Lane {
            client: self.client(),
            decoders: Arc::new(Semaphore::new(DECODERS_MIB_PER_LANE as usize)),
            cache: Mutex::default(),
        });
        kept.lanes.insert(number, (turn, Arc::clone(&lane)));
        lane
    }

    fn client(&self) -> Client<Connector, Upload> {
        Client::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http1_max_buf_size(BUFFER_BYTES_MAX)
            .http2_initial_stream_window_size(WINDOW_BYTES)
            .http2_initial_connection_window_size(WINDOW_BYTES * 2)
            .http2_max_header_list_size(u32::try_from(BUFFER_BYTES_MAX).unwrap_or(u32::MAX))
            .build(self.connector.clone())
    }
}
