//! Reads a body line by line. Only one line, and the bytes received with it, are in memory.

use axum::body::{Body, BodyDataStream, Bytes};
use futures::StreamExt;

use crate::middleware::body::refusal;
use crate::problem::{Code, Problem};

/// A body of lines. Lines end with LF, CR LF, or the end of the body; empty lines are skipped but counted.
pub(crate) struct Lines {
    body: BodyDataStream,
    held: Vec<u8>,
    /// Where the next line begins in the buffer, and up to where there is no LF.
    begin: usize,
    looked: usize,
    ended: bool,
    line: u64,
    most: usize,
}

/// A line and its number, from 1.
pub(crate) struct Line<'l> {
    pub(crate) number: u64,
    pub(crate) bytes: &'l [u8],
}

impl Lines {
    /// Reads lines of at most `most` bytes.
    pub(crate) fn new(body: Body, most: usize) -> Self {
        let body = body.into_data_stream();
        Self { body, held: Vec::new(), begin: 0, looked: 0, ended: false, line: 0, most }
    }

    /// From now on, lines may have at most `most` bytes.
    pub(crate) fn limit(&mut self, most: usize) {
        self.most = most;
    }

    /// The next line that is not empty; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Line<'_>>, Problem> {
        loop {
            let Some((begin, end)) = self.find().await? else { return Ok(None) };
            self.line += 1;
            if self.held[begin..end].iter().any(|b| !b.is_ascii_whitespace()) {
                return Ok(Some(Line { number: self.line, bytes: &self.held[begin..end] }));
            }
        }
    }

    async fn find(&mut self) -> Result<Option<(usize, usize)>, Problem> {
        loop {
            let found = self.held[self.looked..].iter().position(|b| *b == b'\n');
            let (begin, length) = (self.begin, self.held.len());
            let end = found.map_or(length, |at| self.looked + at);
            if end - begin > self.most {
                let detail = format!("line {} is longer than {} bytes", self.line + 1, self.most);
                return Err(Problem::new(Code::BodyTooLarge, detail).with("limit", self.most));
            }
            if found.is_some() {
                (self.begin, self.looked) = (end + 1, end + 1);
                return Ok(Some((begin, end)));
            }
            self.looked = length;
            if self.ended {
                self.begin = length;
                return Ok((begin < length).then_some((begin, length)));
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Problem> {
        match self.body.next().await {
            Some(Ok(bytes)) => self.hold(&bytes),
            Some(Err(error)) => return Err(refusal(&error)),
            None => self.ended = true,
        }
        Ok(())
    }

    fn hold(&mut self, bytes: &Bytes) {
        self.held.drain(..self.begin);
        self.looked -= self.begin;
        self.begin = 0;
        self.held.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str, chunk: usize, most: usize) -> Result<Vec<(u64, String)>, Code> {
        let chunks: Vec<Result<Bytes, std::io::Error>> =
            text.as_bytes().chunks(chunk.max(1)).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let mut lines = Lines::new(Body::from_stream(stream::iter(chunks)), most);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut out = Vec::new();
            loop {
                match lines.next().await {
                    Ok(Some(line)) => {
                        out.push((
                            line.number,
                            String::from_utf8_lossy(line.bytes).trim_end_matches('\r').to_owned(),
                        ));
                    }
                    Ok(None) => return Ok(out),
                    Err(problem) => return Err(problem.code()),
                }
            }
        })
    }

    #[test]
    fn empty_lines_are_counted_and_skipped() {
        let reported = read("{\"a\":1}\r\n\n  \n{\"b\":2}", 3, 100).unwrap();
        assert_eq!(reported, [(1, "{\"a\":1}".to_owned()), (4, "{\"b\":2}".to_owned())]);
        assert_eq!(read("", 3, 100).unwrap(), []);
    }

    #[test]
    fn a_line_without_end_is_cut_off() {
        assert_eq!(read(&"x".repeat(1_000), 10, 100), Err(Code::BodyTooLarge));
        assert_eq!(read(&format!("{}\n", "x".repeat(100)), 10, 100).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn chunk_boundaries_do_not_change_the_lines(text in "[a\\n]{0,60}", chunk in 1..20_usize) {
            let wanted: Vec<(u64, String)> = text
                .split('\n')
                .enumerate()
                .filter(|(_, line)| !line.is_empty())
                .map(|(at, line)| (at as u64 + 1, line.to_owned()))
                .collect();
            prop_assert_eq!(read(&text, chunk, 100).unwrap(), wanted);
        }
    }
}
