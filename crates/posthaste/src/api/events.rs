//! The events of an order (server-sent events), over as many connections as it takes.

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use reqwest::{Method, header};
use serde_json::Value;

use super::{Client, Order, Told};
use crate::failure::{Failure, Kind, Result};

/// Waits between connections.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What is told about an order.
pub(crate) enum Event {
    /// Where it stands.
    Snapshot(Told<Order>),
    /// Where it stood when its last row became final; nothing follows.
    End(Told<Order>),
    /// The connection is gone; another one is tried. Says why.
    Away(String),
}

impl Client {
    /// The events of an order until its end. A lost connection is made again; what the server refuses ends the stream.
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
        // Heartbeats are comments, which the reader of events swallows: silence is watched below it.
        let bytes = futures::stream::unfold(answer.bytes_stream().boxed(), move |mut bytes| async move {
            let piece = match tokio::time::timeout(silence, bytes.next()).await {
                Ok(piece) => piece?.map_err(|error| error.without_url().to_string()),
                Err(_) => Err("the server fell silent".to_owned()),
            };
            Some((piece, bytes))
        });
        Ok(bytes.eventsource().map(|event| event.map_err(|error| error.to_string())).boxed())
    }

    fn read(&self, event: &eventsource_stream::Event) -> Result<Option<Event>> {
        let order = |data: &str| -> Result<Told<Order>> {
            serde_json::from_str(data).map_err(|error| self.client.not_understood(error))
        };
        match event.event.as_str() {
            "snapshot" => order(&event.data).map(|order| Some(Event::Snapshot(order))),
            "end" => order(&event.data).map(|order| Some(Event::End(order))),
            // Later versions may tell more.
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

    /// The failure for a stream that ended without its end.
    pub(crate) fn cut() -> Failure {
        Failure::new(Kind::Unreachable, "the events ended before the order did")
    }
}
