//! Whose suppression is meant: addresses of the command line or of a file, asked about some hundred at a time.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use posthaste_model::{Address, Channel, SenderId};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::api::Client;
use crate::failure::{Failure, Result};

/// Addresses of one request.
const TOGETHER: usize = 500;

/// Bytes of a list of addresses at most.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Which addresses of which list.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The channel.
    #[arg(long, value_name = "CHANNEL")]
    pub(super) channel: Channel,
    /// The list of this sender. Without it the channel's, which holds for all senders; with a key that is not an admin's, its
    /// own sender's.
    #[arg(long, value_name = "ID")]
    sender: Option<SenderId>,
    /// File with one address a line; - reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "addresses")]
    from: Option<PathBuf>,
    /// Addresses. (Everybody on the computer can read arguments: --from can be read by you alone.)
    #[arg(value_name = "ADDRESS", value_parser = address, allow_negative_numbers = true)]
    addresses: Vec<Address>,
}

// What clap wants of a parser.
#[expect(clippy::unnecessary_wraps, reason = "every text may be an address; the queue knows more")]
fn address(text: &str) -> Result<Address, std::convert::Infallible> {
    Ok(Address::new(text.trim()))
}

/// An address, and where it was found.
pub(super) struct Given {
    pub(super) address: Address,
    /// `line 7`, `address 2`.
    place: String,
}

impl Which {
    /// All of them, in their order.
    ///
    /// # Errors
    /// Usage: the file cannot be read, or holds none.
    pub(super) fn read(&self) -> Result<Vec<Given>> {
        let Some(path) = &self.from else {
            if self.addresses.is_empty() {
                return Err(Failure::usage("no address is named")
                    .mend("Name some, or a file with one a line: --from FILE (- reads standard input)."));
            }
            let given = |(at, address): (usize, &Address)| Given {
                address: address.clone(),
                place: format!("address {}", at + 1),
            };
            return Ok(self.addresses.iter().enumerate().map(given).collect());
        };
        let from: Box<dyn Read> =
            match path.as_os_str() == "-" {
                true => Box::new(io::stdin()),
                false => Box::new(File::open(path).map_err(|error| {
                    Failure::usage(format!("cannot read {}", path.display())).because(error)
                })?),
            };
        let mut bytes = Vec::new();
        let read = from.take(LONGEST + 1).read_to_end(&mut bytes);
        read.map_err(|error| Failure::usage("cannot read the addresses").because(error))?;
        if bytes.len() as u64 > LONGEST {
            return Err(Failure::usage("the list of addresses is larger than 64 MiB")
                .mend("Split it, and run the command for each part."));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::usage("the list of addresses is no UTF-8").mend("One address a line."))?;
        let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        let given = lines.filter(|(_, line)| !line.trim().is_empty()).map(|(at, line)| Given {
            address: Address::new(line.trim()),
            place: format!("line {}", at + 1),
        });
        let given: Vec<_> = given.collect();
        if given.is_empty() {
            return Err(Failure::usage("there is no address").mend("One address a line."));
        }
        Ok(given)
    }

    /// Asks about them, one request after the other, and hands each answer on with its addresses.
    ///
    /// # Errors
    /// The queue does not answer, or refuses: an address is wrong, say, and is named by its place. What was asked before stays
    /// done, and is told.
    pub(super) async fn ask<T: DeserializeOwned>(
        &self,
        client: &Client,
        path: &str,
        all: &[Given],
        mut told: impl FnMut(&[Given], T) -> Result<()>,
    ) -> Result<()> {
        for (at, given) in all.chunks(TOGETHER).enumerate() {
            let addresses: Vec<&str> = given.iter().map(|given| given.address.expose()).collect();
            let mut body = Map::new();
            body.insert("channel".to_owned(), json!(self.channel));
            body.insert("addresses".to_owned(), json!(addresses));
            body.extend(self.sender.as_ref().map(|sender| ("sender_id".to_owned(), json!(sender))));
            match client.post(path, &Value::from(body)).await? {
                Ok(answer) => told(given, answer)?,
                Err((problem, retry_after)) => {
                    let place = |pointer: &str| {
                        let at: usize = pointer.strip_prefix("/addresses/")?.parse().ok()?;
                        given.get(at).map(|given| given.place.clone())
                    };
                    let mut lines: Vec<String> = problem
                        .errors
                        .iter()
                        .map(|fault| match &fault.pointer {
                            Some(pointer) => format!(
                                "{}: {}",
                                place(pointer).unwrap_or_else(|| crate::terminal::plain(pointer)),
                                fault.words()
                            ),
                            None => fault.words(),
                        })
                        .collect();
                    if at > 0 {
                        lines.push(format!("The {} addresses before were done.", at * TOGETHER));
                    }
                    return Err(problem.into_failure_with(lines, retry_after));
                }
            }
        }
        Ok(())
    }
}
