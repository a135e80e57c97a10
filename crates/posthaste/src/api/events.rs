//! The events of an order (server-sent events), across reconnects.

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use reqwest::{Method, header};
use serde_json::Value;

use super::{ApiResponse, Client, Order};
use crate::failure::{Failure, Kind, Result};

/// Pauses between connections.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// An event of an order.
pub(crate) enum Event {
    /// Its current state.
    Snapshot(ApiResponse<Order>),
    /// Its state when its last delivery became final; the last event.
    End(ApiResponse<Order>),
    /// The connection was lost, with the reason; the client reconnects.
    Away(String),
}

impl Client {
    /// The events of an order until its end. A lost connection is reestablished; an error response ends the stream.
    pub(crate) fn events(&self, order_id: &str) -> impl Stream<Item = Result<Event>> + use<> {
        let state = Following {
            client: self.clone(),
            path: format!("/v1/orders/{order_id}/events"),
            last: None,
            pause: FIRST_PAUSE,
            waits: false,
            over: false,
            open: None,
        };
        futures::stream::unfold(state, |mut state| async move {
            let event = state.next().await?;
            state.over |= matches!(event, Err(_) | Ok(Event::End(_)));
            Some((event, state))
        })
    }
}

type Open = futures::stream::BoxStream<'static, Result<eventsource_stream::Event, String>>;

struct Following {
    client: Client,
    path: String,
    last: Option<String>,
    pause: Duration,
    waits: bool,
    over: bool,
    open: Option<Open>,
}

impl Following {
    async fn next(&mut self) -> Option<Result<Event>> {
        if self.over {
            return None;
        }
        loop {
            if std::mem::take(&mut self.waits) {
                tokio::time::sleep(self.pause).await;
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
            }
            let stream = match &mut self.open {
                Some(stream) => stream,
                None => match self.connect().await {
                    Ok(stream) => self.open.insert(stream),
                    Err(failure) if failure.kind() == Kind::Unreachable => {
                        return Some(Ok(self.away(failure.lines().swap_remove(0))));
                    }
                    Err(failure) => return Some(Err(failure)),
                },
            };
            match stream.next().await {
                Some(Ok(event)) => {
                    self.pause = FIRST_PAUSE;
                    if !event.id.is_empty() {
                        self.last = Some(event.id.clone());
                    }
                    match self.read(&event) {
                        Ok(None) => {}
                        Ok(Some(event)) => return Some(Ok(event)),
                        Err(failure) => return Some(Err(failure)),
                    }
                }
                Some(Err(why)) => return Some(Ok(self.away(why))),
                None => return Some(Ok(self.away("the server closed the stream".to_owned()))),
            }
        }
    }

    fn away(&mut self, why: String) -> Event {
        self.open = None;
        self.waits = true;
        Event::Away(why)
    }

    async fn connect(&self) -> Result<Open> {
        let mut request = self.client.request(Method::GET, &self.path, &[]);
        request = request.header(header::ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let answer = self.client.stream(request).await?;
        let silence = self.client.silence();
        // Silence is detected on the raw bytes, because the event parser drops comments, which heartbeats are.
        let bytes = futures::stream::unfold(answer.bytes_stream().boxed(), move |mut bytes| async move {
            let piece = match tokio::time::timeout(silence, bytes.next()).await {
                Ok(piece) => piece?.map_err(|error| error.without_url().to_string()),
                Err(_) => Err("the server stopped sending data".to_owned()),
            };
            Some((piece, bytes))
        });
        Ok(bytes.eventsource().map(|event| event.map_err(|error| error.to_string())).boxed())
    }

    fn read(&self, event: &eventsource_stream::Event) -> Result<Option<Event>> {
        let order = |data: &str| -> Result<ApiResponse<Order>> {
            serde_json::from_str(data).map_err(|error| self.client.not_understood(error))
        };
        match event.event.as_str() {
            "snapshot" => order(&event.data).map(|order| Some(Event::Snapshot(order))),
            "end" => order(&event.data).map(|order| Some(Event::End(order))),
            // Later versions may have more events.
            _ => Ok(None),
        }
    }
}

impl Event {
    /// The event as one line of NDJSON.
    pub(crate) fn line(&self) -> Value {
        match self {
            Self::Snapshot(order) => serde_json::json!({"event": "snapshot", "order": order.raw}),
            Self::End(order) => serde_json::json!({"event": "end", "order": order.raw}),
            Self::Away(why) => serde_json::json!({"event": "away", "reason": why}),
        }
    }

    /// The failure for a stream that ended without an `end` event.
    pub(crate) fn cut() -> Failure {
        Failure::new(Kind::Unreachable, "the connection ended before the order finished")
    }
}
