//! Selects addresses from the command line or a file, and sends them to the queue in requests of [`AddressBatch::MOST`].

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;

use posthaste_client::{AddressBatch, ApiError};
use posthaste_model::{Address, Channel, SenderId};

use crate::client::{failure_with, words};
use crate::failure::{Failure, Result};
use crate::terminal::plain;

/// Maximum size of a list of addresses in bytes.
const LONGEST: u64 = 64 * 1024 * 1024;

/// Which addresses of which list.
#[derive(Debug, clap::Args)]
pub(super) struct Which {
    /// The channel.
    #[arg(long, value_name = "CHANNEL")]
    pub(super) channel: Channel,
    /// Use the list of this sender. Default: the channel's list, which applies to all senders, or with a key without the scope
    /// admin, the list of its own sender.
    #[arg(long, value_name = "ID")]
    sender: Option<SenderId>,
    /// File with one address per line; - reads standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "addresses")]
    from: Option<PathBuf>,
    /// Addresses. (Other users of this computer can see arguments; a file given with --from can be private.)
    #[arg(value_name = "ADDRESS", value_parser = address, allow_negative_numbers = true)]
    addresses: Vec<Address>,
}

// clap requires a `Result`.
#[expect(clippy::unnecessary_wraps, reason = "any text may be an address; the queue validates it")]
fn address(text: &str) -> Result<Address, std::convert::Infallible> {
    Ok(Address::new(text.trim()))
}

/// An address and its position.
pub(super) struct Given {
    pub(super) address: Address,
    /// `line 7`, `address 2`.
    place: String,
}

impl Which {
    /// All addresses in order.
    ///
    /// # Errors
    /// Usage: none are given, or the file cannot be read or contains none.
    pub(super) fn read(&self) -> Result<Vec<Given>> {
        let Some(path) = &self.from else {
            if self.addresses.is_empty() {
                return Err(Failure::usage("no addresses given").remedy(
                    "Give addresses, or a file with one per line: --from FILE (- reads standard input).",
                ));
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
                .remedy("Split it, and run the command for each part."));
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            Failure::usage("the list of addresses is not UTF-8")
                .remedy("Save it as UTF-8, with one address per line.")
        })?;
        let lines = text.trim_start_matches('\u{feff}').lines().enumerate();
        let given = lines.filter(|(_, line)| !line.trim().is_empty()).map(|(at, line)| Given {
            address: Address::new(line.trim()),
            place: format!("line {}", at + 1),
        });
        let given: Vec<_> = given.collect();
        if given.is_empty() {
            return Err(
                Failure::usage("the list of addresses is empty").remedy("Write one address per line.")
            );
        }
        Ok(given)
    }

    /// Sends the addresses with `request`, one request after the other, and passes each response to `response` with its
    /// addresses.
    ///
    /// # Errors
    /// The queue does not respond, or rejects a request. An invalid address is named by its position. Earlier requests remain
    /// in effect, and the failure says so.
    pub(super) async fn ask<T>(
        &self,
        all: &[Given],
        request: impl AsyncFn(&AddressBatch<'_>) -> Result<T, ApiError>,
        mut response: impl FnMut(&[Given], T) -> Result<()>,
    ) -> Result<()> {
        for (at, given) in all.chunks(AddressBatch::MOST).enumerate() {
            let batch = AddressBatch {
                channel: &self.channel,
                addresses: given.iter().map(|given| &given.address).collect(),
                sender_id: self.sender.as_ref(),
            };
            match request(&batch).await {
                Ok(answer) => response(given, answer)?,
                Err(error) => return Err(failure(error, given, at * AddressBatch::MOST)),
            }
        }
        Ok(())
    }
}

/// The failure for a rejected request; `before` addresses have been processed.
fn failure(error: ApiError, given: &[Given], before: usize) -> Failure {
    let Some(problem) = error.problem() else { return error.into() };
    let place = |pointer: &str| {
        let at: usize = pointer.strip_prefix("/addresses/")?.parse().ok()?;
        given.get(at).map(|given| given.place.clone())
    };
    let mut lines: Vec<String> = problem
        .errors
        .iter()
        .map(|part| match &part.pointer {
            Some(pointer) => {
                format!("{}: {}", place(pointer).unwrap_or_else(|| plain(pointer)), words(part))
            }
            None => words(part),
        })
        .collect();
    if before > 0 {
        lines.push(format!("The {before} addresses before these have been processed."));
    }
    failure_with(error, lines)
}
