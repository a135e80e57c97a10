//! The events of an order (server-sent events), across reconnects.

use std::time::Duration;

use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt};
use reqwest::{Method, header};

use crate::client::{Client, SILENCE};
use crate::error::ApiError;
use crate::responses::{ApiResponse, Order};

/// Pauses between connections.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Longer lines are refused: the parser keeps a line until it is complete.
const LONGEST_LINE: usize = 4 * 1024 * 1024;

/// An event of an order.
#[derive(Debug, Clone)]
pub enum OrderEvent {
    /// Its current state.
    Snapshot(ApiResponse<Order>),
    /// Its state when its last delivery became final; the last event.
    End(ApiResponse<Order>),
    /// The connection was lost, with the reason; the client reconnects.
    Away(String),
}

impl Client {
    /// The events of an order until its end. A lost connection is reestablished; an error response ends the stream.
    pub fn events(&self, order_id: &str) -> impl Stream<Item = Result<OrderEvent, ApiError>> + use<> {
        self.follow(order_id, false)
    }

    /// The same, but the stream goes on after the end: delivery receipts may still change the order. The caller ends it.
    pub fn events_after_finish(
        &self,
        order_id: &str,
    ) -> impl Stream<Item = Result<OrderEvent, ApiError>> + use<> {
        self.follow(order_id, true)
    }

    fn follow(
        &self,
        order_id: &str,
        after_finish: bool,
    ) -> impl Stream<Item = Result<OrderEvent, ApiError>> + use<> {
        let state = Following {
            client: self.clone(),
            order_id: order_id.to_owned(),
            after_finish,
            last: None,
            pause: FIRST_PAUSE,
            waits: false,
            over: false,
            open: None,
        };
        futures::stream::unfold(state, |mut state| async move {
            let event = state.next().await?;
            state.over |= match event {
                Err(_) => true,
                Ok(OrderEvent::End(_)) => !state.after_finish,
                Ok(_) => false,
            };
            Some((event, state))
        })
    }
}

type Open = futures::stream::BoxStream<'static, Result<eventsource_stream::Event, String>>;

struct Following {
    client: Client,
    order_id: String,
    after_finish: bool,
    last: Option<String>,
    pause: Duration,
    waits: bool,
    over: bool,
    open: Option<Open>,
}

impl Following {
    async fn next(&mut self) -> Option<Result<OrderEvent, ApiError>> {
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
                    Err(error) if is_passing(&error) => {
                        return Some(Ok(self.away(error.with_causes())));
                    }
                    Err(error) => return Some(Err(error)),
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
                        Err(error) => return Some(Err(error)),
                    }
                }
                Some(Err(why)) => return Some(Ok(self.away(why))),
                None => return Some(Ok(self.away("the server closed the stream".to_owned()))),
            }
        }
    }

    fn away(&mut self, why: String) -> OrderEvent {
        self.open = None;
        self.waits = true;
        OrderEvent::Away(why)
    }

    async fn connect(&self) -> Result<Open, ApiError> {
        let query: &[_] = if self.after_finish { &[("after_finish", "true".to_owned())] } else { &[] };
        let path = ["v1", "orders", &self.order_id, "events"];
        let mut request = self.client.request(Method::GET, &path, query);
        request = request.header(header::ACCEPT, "text/event-stream");
        if let Some(last) = &self.last {
            request = request.header("last-event-id", last);
        }
        let answer = self.client.stream(request).await?;
        // Silence is detected on the raw bytes, because the event parser drops comments, which heartbeats are.
        let begin = (answer.bytes_stream().boxed(), 0);
        let bytes = futures::stream::unfold(begin, |(mut bytes, mut line)| async move {
            let piece = match tokio::time::timeout(SILENCE, bytes.next()).await {
                Ok(piece) => piece?.map_err(|error| error.without_url().to_string()),
                Err(_) => Err("the server stopped sending data".to_owned()),
            };
            let piece = piece.and_then(|piece| {
                line = line_length(line, &piece);
                if line > LONGEST_LINE {
                    Err("a line is too long for an event".to_owned())
                } else {
                    Ok(piece)
                }
            });
            Some((piece, (bytes, line)))
        });
        Ok(bytes.eventsource().map(|event| event.map_err(|error| error.to_string())).boxed())
    }

    fn read(&self, event: &eventsource_stream::Event) -> Result<Option<OrderEvent>, ApiError> {
        let order = |data: &str| -> Result<ApiResponse<Order>, ApiError> {
            serde_json::from_str(data).map_err(|error| self.client.not_understood(&error))
        };
        match event.event.as_str() {
            "snapshot" => order(&event.data).map(|order| Some(OrderEvent::Snapshot(order))),
            "end" => order(&event.data).map(|order| Some(OrderEvent::End(order))),
            // Later versions may have more events.
            _ => Ok(None),
        }
    }
}

/// The length of the last line after this piece, if it was `before` long.
fn line_length(before: usize, piece: &[u8]) -> usize {
    match piece.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => piece.len() - at - 1,
        None => before + piece.len(),
    }
}

/// Whether the server may be back soon. A request that came too fast is not repeated: its caller sees the error.
fn is_passing(error: &ApiError) -> bool {
    match error {
        ApiError::CannotReach { .. } => true,
        ApiError::RetryLater(problem) => problem.status != 429,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_a_line_is_counted_over_pieces() {
        assert_eq!(line_length(3, b"abc"), 6);
        assert_eq!(line_length(3, b"abc\n"), 0);
        assert_eq!(line_length(3, b"a\nb\ncd"), 2);
    }
}
