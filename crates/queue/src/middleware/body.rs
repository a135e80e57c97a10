//! Bodies: limits on time and size.
//!
//! The body of every request has a deadline that moves with the bytes received: [`BodyRate::first`] plus one second
//! for each [`BodyRate::bytes_per_second`]. A body that is too slow ends with the error [`TooSlow`]; [`refusal`]
//! turns any error of a body into the right problem, whoever reads it.

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

/// The largest body that is read whole, in KiB.
pub(crate) const LARGEST_KIB: u32 = 16 * 1_024;

/// How fast a body must arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyRate {
    /// Time for the first byte and for every small body.
    pub first: Duration,
    /// Number of bytes that extend the time by one second.
    pub bytes_per_second: u64,
}

/// The body arrived too slowly.
#[derive(Debug, thiserror::Error)]
#[error("the body was not received in time")]
pub struct TooSlow;

/// A body with a deadline.
struct Paced {
    inner: Body,
    pace: BodyRate,
    start: Instant,
    /// Since when nobody reads: this time is not counted against the client.
    idle: Option<Instant>,
    came: u64,
    alarm: Option<Pin<Box<Sleep>>>,
    late: bool,
}

/// Gives a body a deadline.
pub(crate) fn paced(inner: Body, pace: BodyRate) -> Body {
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

/// The problem for an error of a body: too slow, too large, or broken off.
#[must_use]
pub fn refusal(error: &(dyn std::error::Error + 'static)) -> Problem {
    let mut causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes
        .find_map(|cause| {
            if cause.is::<TooSlow>() {
                Some(Problem::new(Code::BodyTimeout, "the body was not received in time"))
            } else if cause.is::<LengthLimitError>() {
                Some(too_large())
            } else {
                None
            }
        })
        .unwrap_or_else(|| {
            Problem::new(Code::BadRequest, "the body broke off or its HTTP framing is invalid")
        })
}

fn too_large() -> Problem {
    Problem::new(Code::BodyTooLarge, "the body is larger than this path accepts")
}

/// Reads a whole body of at most `most` bytes.
///
/// # Errors
/// 413 if it is larger (before reading, if the declared length shows it), 408 if it is too slow, 400 if it breaks off.
pub async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    let reported = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if reported > most {
        return Err(too_large());
    }
    let collected = Limited::new(body, most).collect().await.map_err(|error| refusal(&*error))?;
    Ok(collected.to_bytes())
}

/// Checks that the body has this media type and is not encoded; parameters other than `charset=utf-8` are refused.
///
/// # Errors
/// 415.
pub fn expect(headers: &HeaderMap, media_type: &str) -> Result<(), Problem> {
    let refuse = |detail: String| Err(Problem::new(Code::UnsupportedMediaType, detail));
    if headers.contains_key(header::CONTENT_ENCODING) {
        return refuse("encoded bodies are not supported; remove the Content-Encoding header".to_owned());
    }
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (essence, parameters) = given.split_once(';').unwrap_or((given, ""));
    let parameters = parameters.trim().to_ascii_lowercase();
    let plain = matches!(parameters.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"");
    if essence.trim().eq_ignore_ascii_case(media_type) && plain {
        Ok(())
    } else {
        refuse(format!("the body must be {media_type}; set Content-Type"))
    }
}

/// A small JSON body (at most 64 KiB), parsed strictly.
#[derive(Debug)]
pub struct SmallJson<T>(pub T);

/// Maximum bytes of a [`SmallJson`].
const SMALL: usize = 64 * 1024;

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for SmallJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        expect(request.headers(), "application/json")?;
        let bytes = read(request.into_body(), SMALL).await?;
        strict::object(&bytes).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;

    const PACE: BodyRate = BodyRate { first: Duration::from_secs(10), bytes_per_second: 1_000 };

    fn body(chunks: Vec<&'static str>, then: bool) -> Body {
        let chunks = stream::iter(chunks.into_iter().map(Ok::<_, std::io::Error>));
        let rest = stream::poll_fn(move |_| if then { Poll::Ready(None) } else { Poll::Pending });
        Body::from_stream(futures::StreamExt::chain(chunks, rest))
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_body_is_cut_off_at_its_deadline() {
        let start = Instant::now();
        let problem = read(paced(body(vec!["x"; 500], false), PACE), 1_000).await.unwrap_err();
        assert_eq!(problem.code(), Code::BodyTimeout);
        assert_eq!(start.elapsed().as_millis(), 10_500, "received bytes extend the deadline");
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_reads_is_not_counted() {
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
    fn only_the_plain_type_is_accepted() {
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
