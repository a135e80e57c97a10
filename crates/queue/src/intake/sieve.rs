//! Sorts the recipients of an order: rows for those that are good, places and reasons for those that are not.

use std::sync::Arc;

use posthaste_model::{Channel, Row};

use super::address::{self, Given};
use super::digest::Digest;
use super::draft::{Draft, known_channel, one_of};
use super::flaw::{Flaw, FlawCode, Flaws, MOST_FLAWS, Place, Unread};
use super::ids::Ids;
use super::order::{Addresses, Few, Invalid, MOST_ADDRESSES, RecipientBody};
use super::quota::Paid;
use super::settings::{Rules, is_role};
use super::text;

/// Addresses of one JSON body that are judged at most: a bound on what one request may cost. Uploads are judged in pieces, between
/// which others have their turn.
const MOST_JUDGED: usize = 50_000;

/// A row of an order, and its channel.
pub(crate) type Rows = Vec<(Channel, Row)>;

/// What became of the recipients so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Recipients taken.
    pub(crate) accepted: u32,
    /// Bad recipients and addresses left out, the first ones.
    pub(crate) skipped: Flaws,
    /// How many there were.
    pub(crate) skipped_total: u64,
    /// Recipients left out because their id was there before, the first ones.
    pub(crate) repeated: Vec<Place>,
    /// How many there were.
    pub(crate) repeated_total: u64,
    /// The messages that are paid for.
    pub(crate) paid: Paid,
    /// Taken recipients with an address, by channel.
    reached: Vec<(Channel, u32)>,
}

/// Takes one recipient after the other.
pub(crate) struct Sieve {
    rules: Arc<Rules>,
    channels: Option<Vec<Channel>>,
    all: bool,
    skip: bool,
    /// The channels that have a text, when not all have.
    worded: Option<Vec<Channel>>,
    /// Channels that were found to have none.
    wordless: Vec<Channel>,
    ids: Ids,
    digest: Digest,
    tally: Tally,
    /// Why the order is refused.
    flaws: Flaws,
    /// Whether one of them could not be read at all.
    malformed: bool,
    /// Addresses judged of one JSON body.
    judged: usize,
}

impl Sieve {
    /// A sieve for the recipients of this order. `digest`: of the order; `chance`: random, for its tables.
    pub(crate) fn new(draft: &Draft, digest: Digest, rules: &Arc<Rules>, chance: [u8; 16]) -> Self {
        Self {
            rules: rules.clone(),
            channels: draft.channels.clone(),
            all: draft.addresses == Addresses::All,
            skip: draft.invalid == Invalid::Skip,
            worded: draft.content.text.is_empty().then(|| draft.content.texts.keys().cloned().collect()),
            wordless: Vec::new(),
            ids: Ids::new(chance),
            digest,
            tally: Tally { reached: Vec::new(), ..Tally::default() },
            flaws: Flaws::default(),
            malformed: false,
            judged: 0,
        }
    }

    /// Takes the recipient `index` of the order, which stands at `place`, and adds its rows to `rows`.
    pub(crate) fn take(
        &mut self,
        index: u32,
        place: Place,
        raw: &str,
        read: Result<RecipientBody<'_>, Unread>,
        rows: &mut Rows,
    ) {
        match read {
            Ok(body) => {
                self.digest.recipient(&body);
                self.sort(index, place, body, rows);
            }
            Err(unread) => {
                self.digest.unread(raw);
                // A line that is no JSON can be left out, a part of a body that is no JSON can't.
                let malformed = matches!(unread, Unread::Malformed(_));
                let flaw = unread.into_flaw().below(place);
                if malformed && (place.line().is_none() || !self.skip) {
                    self.malformed = true;
                    self.flaws.add(flaw);
                } else {
                    self.bad(flaw);
                }
            }
        }
    }

    fn sort(&mut self, index: u32, place: Place, body: RecipientBody<'_>, rows: &mut Rows) {
        let id = body.id.unwrap_or_default();
        let name = body.name.unwrap_or_default();
        if !id.is_empty() && !is_role(&id) {
            return self
                .bad(Flaw::new("/id", FlawCode::InvalidId, "1 to 64 of A-Z a-z 0-9 _ -").below(place));
        }
        if let Err(flaw) = text::name(&name, "/name") {
            return self.bad(flaw.below(place));
        }
        if !id.is_empty() && !self.ids.insert(&id) {
            self.tally.repeated_total += 1;
            if self.tally.repeated.len() < MOST_FLAWS {
                self.tally.repeated.push(place);
            }
            return;
        }
        let (before, faults) = (rows.len(), self.tally.skipped_total);
        for (channel, Few(given)) in body.contacts.into_iter().flat_map(|contacts| contacts.0) {
            let Some(channel) = known_channel(&channel, &self.rules).cloned() else {
                self.bad(Flaw::new("/contacts", FlawCode::UnknownChannel, one_of(&self.rules)).below(place));
                continue;
            };
            if self.channels.as_ref().is_some_and(|wanted| !wanted.contains(&channel)) {
                continue;
            }
            if place.line().is_none() {
                self.judged += given.len().min(MOST_ADDRESSES);
                if self.judged > MOST_JUDGED {
                    let detail = "50,000 addresses at most in one JSON body; give more as NDJSON, one recipient a line";
                    self.flaws.add(Flaw::new("/recipients", FlawCode::TooMany, detail));
                    return;
                }
            }
            let mut reached = false;
            for address in self.addresses(&channel, &given, place) {
                reached = true;
                self.tally.paid.add(&channel, &address);
                rows.push((
                    channel.clone(),
                    Row { index, recipient: id.clone(), name: name.clone(), address },
                ));
            }
            if reached {
                self.reached(&channel);
                self.has_text(&channel);
            }
        }
        // One of whom nothing good is left was skipped; one who has no address at all is told as such.
        if rows.len() > before || self.tally.skipped_total == faults {
            self.tally.accepted += 1;
        }
    }

    /// The good addresses that are used.
    fn addresses(
        &mut self,
        channel: &Channel,
        given: &[Given<'_>],
        place: Place,
    ) -> Vec<posthaste_model::Address> {
        let mut out = Vec::new();
        if given.len() > MOST_ADDRESSES {
            let flaw = Flaw::new(format!("/contacts/{channel}"), FlawCode::TooMany, "32 at most");
            self.bad(flaw.below(place));
        }
        for (at, one) in given.iter().take(MOST_ADDRESSES).enumerate() {
            match address::normalise(channel, one, &self.rules.phones) {
                Ok(address) if self.all || out.is_empty() => out.push(address),
                Ok(_) => {}
                Err((code, detail)) => {
                    self.bad(Flaw::new(format!("/contacts/{channel}/{at}"), code, detail).below(place));
                }
            }
        }
        out
    }

    fn reached(&mut self, channel: &Channel) {
        match self.tally.reached.iter_mut().find(|(known, _)| known == channel) {
            Some((_, count)) => *count += 1,
            None => self.tally.reached.push((channel.clone(), 1)),
        }
    }

    /// Nobody is sent an empty message: that refuses the order, whatever is to become of bad recipients.
    fn has_text(&mut self, channel: &Channel) {
        let worded = self.worded.as_ref().is_none_or(|worded| worded.contains(channel));
        if !worded && !self.wordless.contains(channel) {
            self.wordless.push(channel.clone());
            let detail = format!("there is no text for {channel}");
            self.flaws.add(Flaw::new("/text", FlawCode::Missing, detail));
        }
    }

    fn bad(&mut self, flaw: Flaw) {
        if self.skip {
            self.tally.skipped_total += 1;
            self.tally.skipped.add(flaw);
        } else {
            self.flaws.add(flaw);
        }
    }

    /// Whether the order is refused already.
    pub(crate) fn refuses(&self) -> bool {
        !self.flaws.is_empty()
    }

    /// Whether no more faults are told, or too much was judged, so that nothing more needs to be read.
    pub(crate) fn is_full(&self) -> bool {
        self.flaws.is_full() || self.judged > MOST_JUDGED
    }

    /// What became of them, or why the order is refused.
    pub(crate) fn finish(self) -> Result<Sorted, Refusal> {
        if !self.flaws.is_empty() {
            return Err(Refusal { malformed: self.malformed, flaws: self.flaws.into_vec() });
        }
        if self.tally.reached.is_empty() {
            let flaw = Flaw::new("/recipients", FlawCode::NoRows, "nobody named can be reached");
            let mut flaws = vec![flaw];
            flaws.extend(self.tally.skipped.into_vec().into_iter().take(MOST_FLAWS - 1));
            return Err(Refusal { malformed: false, flaws });
        }
        let mut no_contact = Vec::new();
        let named = self.channels.unwrap_or_default();
        let mut all: Vec<Channel> = self.tally.reached.iter().map(|(channel, _)| channel.clone()).collect();
        all.extend(
            named.into_iter().filter(|channel| !self.tally.reached.iter().any(|(known, _)| known == channel)),
        );
        for channel in all {
            let reached =
                self.tally.reached.iter().find(|(known, _)| *known == channel).map_or(0, |(_, n)| *n);
            no_contact.push((channel, self.tally.accepted - reached));
        }
        Ok(Sorted { digest: self.digest.finish(), no_contact, tally: self.tally })
    }
}

/// The recipients of an order, sorted.
#[derive(Debug)]
pub(crate) struct Sorted {
    /// Digest of the whole order.
    pub(crate) digest: [u8; 12],
    /// Recipients without an address, of each channel of the order.
    pub(crate) no_contact: Vec<(Channel, u32)>,
    /// What became of them.
    pub(crate) tally: Tally,
}

/// Why an order is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    malformed: bool,
    flaws: Vec<Flaw>,
}

impl From<Refusal> for crate::problem::Problem {
    fn from(refusal: Refusal) -> Self {
        if refusal.malformed {
            let detail = "a recipient is no JSON object, or names something twice";
            let errors = refusal.flaws.into_iter().map(crate::problem::Violation::from);
            return Self::new(crate::problem::Code::MalformedJson, detail).with_errors(errors);
        }
        super::flaw::refused(refusal.flaws)
    }
}
