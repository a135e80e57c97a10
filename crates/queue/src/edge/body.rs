//! Bodies in time and in bounds.
//!
//! Every request's body is given a deadline that moves on with what came: [`Pace::first`] plus one second for each
//! [`Pace::bytes_per_second`]. A body that falls behind ends with the error [`TooSlow`]; [`refusal`] makes the right
//! problem of any error of a body, whoever reads it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Frame, SizeHint};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, Sleep};

use super::strict;
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// How fast a body must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Time for the first byte and for every small body.
    pub first: Duration,
    /// Bytes that earn one more second.
    pub bytes_per_second: u64,
}

/// The body fell behind its pace.
#[derive(Debug, thiserror::Error)]
#[error("the body did not come in time")]
pub struct TooSlow;

/// A body under a pace.
struct Paced {
    inner: Body,
    pace: Pace,
    start: Instant,
    /// Since when nobody asks for more: that time is ours, not the client's.
    idle: Option<Instant>,
    came: u64,
    alarm: Option<Pin<Box<Sleep>>>,
    late: bool,
}

/// Puts a body under a pace.
pub(crate) fn paced(inner: Body, pace: Pace) -> Body {
    if inner.is_end_stream() {
        return inner;
    }
    Body::new(Paced { inner, pace, start: Instant::now(), idle: None, came: 0, alarm: None, late: false })
}

impl Paced {
    fn deadline(&self) -> Instant {
        let earned = self.came.saturating_mul(1_000) / self.pace.bytes_per_second.max(1);
        self.start + self.pace.first + Duration::from_millis(earned)
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.late {
            return Poll::Ready(None);
        }
        if let Some(since) = self.idle.take() {
            self.start += since.elapsed();
        }
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle = Some(Instant::now());
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.came += u64::try_from(length).unwrap_or(u64::MAX);
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => {
                let deadline = self.deadline();
                let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                if alarm.deadline() != deadline {
                    alarm.as_mut().reset(deadline);
                }
                match alarm.as_mut().poll(context) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => {
                        self.late = true;
                        Poll::Ready(Some(Err(axum::Error::new(TooSlow))))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.late || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The problem an error of a body stands for: too slow, too large, or broken off.
#[must_use]
pub fn refusal(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes
        .find_map(|cause| {
            if cause.is::<TooSlow>() {
                Some(Problem::new(Code::BodyTimeout, "the body did not come in time"))
            } else if cause.is::<LengthLimitError>() {
                Some(too_large())
            } else {
                None
            }
        })
        .unwrap_or_else(|| Problem::new(Code::BadRequest, "the body broke off or is not framed as HTTP asks"))
}

fn too_large() -> Problem {
    Problem::new(Code::BodyTooLarge, "the body is larger than this path takes")
}

/// Reads a whole body of at most `most` bytes.
///
/// # Errors
/// 413 when it is larger (before it is read, when its length tells), 408 when too slow, 400 when it breaks off.
pub async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if told > most {
        return Err(too_large());
    }
    let collected = Limited::new(body, most).collect().await.map_err(|error| refusal(&*error))?;
    Ok(collected.to_bytes())
}

/// Whether the body is of this media type and not encoded; parameters other than `charset=utf-8` are not taken.
///
/// # Errors
/// 415.
pub fn expect(headers: &HeaderMap, media_type: &str) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::new(Code::UnsupportedMediaType, detail));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refuse("encoded bodies are not taken; leave content-encoding out".to_owned());
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = given.split_once(';').unwrap_or((given, ""));
    let parameters = parameters.trim().to_ascii_lowercase();
    let plain = matches!(parameters.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"");
    if essence.trim().eq_ignore_ascii_case(media_type) && plain {
        Ok(())
    } else {
        refuse(format!("the body must be {media_type}"))
    }
}

/// A small JSON body (at most 64 KiB), read strictly.
#[derive(Debug)]
pub struct SmallJson<T>(pub T);

/// Bytes of a [`SmallJson`] at most.
const SMALL: usize = 64 * 1024;

impl<T: DeserializeOwned> FromRequest<AppState> for SmallJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &AppState) -> Result<Self, Problem> {
        expect(request.headers(), "application/json")?;
        let bytes = read(request.into_body(), SMALL).await?;
        strict::object(&bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    const PACE: Pace = Pace { first: Duration::from_secs(10), bytes_per_second: 1_000 };

    fn body(chunks: Vec<&'static str>, then: bool) -> Body {
        let chunks = stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
        let rest = stream::poll_fn(move |_| if then { Poll::Ready(None) } else { Poll::Pending });
        Body::from_stream(futures::StreamExt::chain(chunks, rest))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_is_cut_when_its_time_is_over() {
        let start = Instant::now();
        let problem = read(paced(body(vec!["x"; 500], false), PACE), 1_000).await.unwrap_err();
        assert_eq!(problem.code(), Code::BodyTimeout);
        assert_eq!(start.elapsed().as_millis(), 10_500, "what came earns time");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_reads_is_not_the_clients() {
        let mut body = paced(body(vec!["x", "y"], false), PACE);
        assert!(body.frame().await.expect("a frame").is_ok());
        tokio::time::advance(Duration::from_secs(60)).await;
        let start = Instant::now();
        assert!(body.frame().await.expect("a frame").is_ok());
        assert!(body.frame().await.expect("an end").is_err());
        assert_eq!(start.elapsed().as_millis(), 10_002);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_in_time_is_read_and_a_larger_one_is_not() {
        assert_eq!(read(paced(body(vec!["ab", "c"], true), PACE), 3).await.unwrap(), "abc");
        let problem = read(paced(body(vec!["ab", "c"], true), PACE), 2).await.unwrap_err();
        assert_eq!(problem.code(), Code::BodyTooLarge);
    }

    #[test]
    fn only_the_plain_type_is_taken() {
        let check = |given: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, given.parse().unwrap());
            expect(&headers, "application/json").is_ok()
        };
        assert!(check("application/json") && check("Application/JSON; charset=UTF-8"));
        assert!(!check("text/plain") && !check("application/json; charset=utf-16") && !check(""));
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(expect(&headers, "application/json").is_err());
    }
}
