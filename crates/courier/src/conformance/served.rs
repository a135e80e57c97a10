//! A transport that receives feedback, for the tests of channels that do.

use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::recording_sink::RecordingSink;
use crate::transport::Transport;

/// A transport that passes feedback to a sink in memory until it is stopped or dropped.
#[derive(Debug)]
pub struct ServedTransport<T> {
    /// The transport.
    pub transport: Arc<T>,
    /// Where its feedback goes.
    pub sink: Arc<RecordingSink>,
    /// Ends the serving.
    pub stop: CancellationToken,
    task: JoinHandle<Result<(), String>>,
}

impl<T: Transport> ServedTransport<T> {
    /// Serves from now on, in a task of its own.
    #[must_use]
    pub fn start(transport: Arc<T>, sink: Arc<RecordingSink>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn({
            let (transport, sink, stop) = (Arc::clone(&transport), Arc::clone(&sink), stop.clone());
            async move { transport.serve(sink, stop).await }
        });
        Self { transport, sink, stop, task }
    }
}

impl<T> ServedTransport<T> {
    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// What it ended with, or that it panicked.
    pub async fn ended(mut self) -> Result<(), String> {
        (&mut self.task).await.map_err(|error| error.to_string())?
    }

    /// Stops it.
    ///
    /// # Errors
    /// As [`ServedTransport::ended`].
    pub async fn stopped(self) -> Result<(), String> {
        self.stop.cancel();
        self.ended().await
    }
}

impl<T> Drop for ServedTransport<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
