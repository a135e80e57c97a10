//! Validates the recipients of an order: creates deliveries for the valid ones, and reports place and reason for the others.

use std::sync::Arc;

use posthaste_model::{Channel, Content, Delivery};
use posthaste_store::TextSet;

use super::address::{self, Given};
use super::digest::Digest;
use super::order::{AddressMode, Few, MOST_ADDRESSES, OnInvalid, RecipientBody};
use super::settings::{Rules, is_role};
use super::sms_limits::Paid;
use super::text;
use super::too_long::{self, TooLong};
use super::validated_order::{ValidatedOrder, known_channel, one_of};
use super::validation_error::{MAX_ERRORS, Place, Unread, ValidationCode, ValidationError, ValidationErrors};

/// Maximum addresses checked in one JSON body: a bound on the cost of one request. Uploads are checked in pieces,
/// between which other requests have their turn.
const MOST_JUDGED: usize = 50_000;

/// A delivery of an order, and its channel.
pub(crate) type Deliveries = Vec<(Channel, Delivery)>;

/// The results so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Number of recipients accepted.
    pub(crate) accepted: u32,
    /// The first invalid recipients and addresses that were skipped.
    pub(crate) skipped: ValidationErrors,
    /// How many were skipped.
    pub(crate) skipped_total: u64,
    /// The first recipients skipped because their id was already given.
    pub(crate) repeated: Vec<Place>,
    /// How many there were.
    pub(crate) repeated_total: u64,
    /// The messages that cost money.
    pub(crate) paid: Paid,
    /// The channels that don't take the message.
    pub(crate) too_long: Vec<TooLong>,
    /// Number of accepted recipients with an address, by channel.
    reached: Vec<(Channel, u32)>,
}

/// Checks one recipient after the other.
pub(crate) struct RecipientValidator {
    rules: Arc<Rules>,
    channels: Option<Vec<Channel>>,
    all: bool,
    skip: bool,
    /// The channels that have a text, if not all have.
    worded: Option<Vec<Channel>>,
    /// Channels found to have no text.
    wordless: Vec<Channel>,
    ids: TextSet,
    digest: Digest,
    tally: Tally,
    /// Why the order is refused.
    field_errors: ValidationErrors,
    /// Whether a recipient could not be parsed at all.
    malformed: bool,
    /// Number of addresses checked in one JSON body.
    judged: usize,
}

impl RecipientValidator {
    /// A validator for the recipients of this order. `digest`: of the order; `chance`: random, for its tables.
    pub(crate) fn new(draft: &ValidatedOrder, digest: Digest, rules: &Arc<Rules>, chance: [u8; 16]) -> Self {
        Self {
            rules: rules.clone(),
            channels: draft.channels.clone(),
            all: draft.address_mode == AddressMode::All,
            skip: draft.on_invalid == OnInvalid::Skip,
            worded: draft.content.text.is_empty().then(|| draft.content.texts.keys().cloned().collect()),
            wordless: Vec::new(),
            ids: TextSet::new(chance),
            digest,
            tally: Tally { reached: Vec::new(), ..Tally::default() },
            field_errors: ValidationErrors::default(),
            malformed: false,
            judged: 0,
        }
    }

    /// Checks recipient number `index` of the order, found at `place`, and adds its deliveries to `deliveries`.
    pub(crate) fn take(
        &mut self,
        index: u32,
        place: Place,
        raw: &str,
        read: Result<RecipientBody<'_>, Unread>,
        deliveries: &mut Deliveries,
    ) {
        match read {
            Ok(body) => {
                self.digest.recipient(&body);
                self.sort(index, place, body, deliveries);
            }
            Err(unread) => {
                self.digest.unread(raw);
                // A line that is not JSON can be skipped; a part of a body that is not JSON can't.
                let malformed = matches!(unread, Unread::Malformed(_));
                let field_error = unread.into_error().below(place);
                if malformed && (place.line().is_none() || !self.skip) {
                    self.malformed = true;
                    self.field_errors.add(field_error);
                } else {
                    self.bad(field_error);
                }
            }
        }
    }

    fn sort(&mut self, index: u32, place: Place, body: RecipientBody<'_>, deliveries: &mut Deliveries) {
        let id = body.id.unwrap_or_default();
        let name = body.name.unwrap_or_default();
        if !id.is_empty() && !is_role(&id) {
            return self.bad(
                ValidationError::new("/id", ValidationCode::InvalidId, "must be 1 to 64 of A-Z a-z 0-9 _ -")
                    .below(place),
            );
        }
        if let Err(field_error) = text::name(&name, "/name") {
            return self.bad(field_error.below(place));
        }
        if !id.is_empty() && !self.ids.insert(&[&id]) {
            self.tally.repeated_total += 1;
            if self.tally.repeated.len() < MAX_ERRORS {
                self.tally.repeated.push(place);
            }
            return;
        }
        let (before, faults) = (deliveries.len(), self.tally.skipped_total);
        for (channel, Few(given)) in body.contacts.into_iter().flat_map(|contacts| contacts.0) {
            let Some(channel) = known_channel(&channel, &self.rules).cloned() else {
                self.bad(
                    ValidationError::new("/contacts", ValidationCode::UnknownChannel, one_of(&self.rules))
                        .below(place),
                );
                continue;
            };
            if self.channels.as_ref().is_some_and(|wanted| !wanted.contains(&channel)) {
                continue;
            }
            if place.line().is_none() {
                self.judged += given.len().min(MOST_ADDRESSES);
                if self.judged > MOST_JUDGED {
                    let detail = "at most 50,000 addresses in one JSON body; upload more as NDJSON, one recipient per line";
                    self.field_errors.add(ValidationError::new(
                        "/recipients",
                        ValidationCode::TooMany,
                        detail,
                    ));
                    return;
                }
            }
            let mut reached = false;
            for address in self.addresses(&channel, &given, place) {
                reached = true;
                self.tally.paid.add(&channel, &address);
                deliveries.push((
                    channel.clone(),
                    Delivery { index, recipient: id.clone(), name: name.clone(), address },
                ));
            }
            if reached {
                self.reached(&channel);
                self.has_text(&channel);
            }
        }
        // A recipient with only invalid addresses was skipped; one without any address is counted as having no contact.
        if deliveries.len() > before || self.tally.skipped_total == faults {
            self.tally.accepted += 1;
        }
    }

    /// The valid addresses to use.
    fn addresses(
        &mut self,
        channel: &Channel,
        given: &[Given<'_>],
        place: Place,
    ) -> Vec<posthaste_model::Address> {
        let mut out = Vec::new();
        if given.len() > MOST_ADDRESSES {
            let field_error = ValidationError::new(
                format!("/contacts/{channel}"),
                ValidationCode::TooMany,
                "at most 32 addresses",
            );
            self.bad(field_error.below(place));
        }
        for (at, one) in given.iter().take(MOST_ADDRESSES).enumerate() {
            match address::normalise(channel, one, &self.rules.phones) {
                Ok(address) if self.all || out.is_empty() => out.push(address),
                Ok(_) => {}
                Err((code, detail)) => {
                    self.bad(
                        ValidationError::new(format!("/contacts/{channel}/{at}"), code, detail).below(place),
                    );
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

    /// No one is sent an empty message: a missing text refuses the order, whatever `on_invalid` says.
    fn has_text(&mut self, channel: &Channel) {
        let worded = self.worded.as_ref().is_none_or(|worded| worded.contains(channel));
        if !worded && !self.wordless.contains(channel) {
            self.wordless.push(channel.clone());
            let detail = format!("the order has no text for {channel}");
            self.field_errors.add(ValidationError::new("/text", ValidationCode::Required, detail));
        }
    }

    fn bad(&mut self, field_error: ValidationError) {
        if self.skip {
            self.tally.skipped_total += 1;
            self.tally.skipped.add(field_error);
        } else {
            self.field_errors.add(field_error);
        }
    }

    /// Whether the order is already refused.
    pub(crate) fn refuses(&self) -> bool {
        !self.field_errors.is_empty()
    }

    /// Whether nothing more needs to be read, because no more errors are reported or too much was checked.
    pub(crate) fn is_full(&self) -> bool {
        self.field_errors.is_full() || self.judged > MOST_JUDGED
    }

    /// The result, or why the order is refused. `content`: of the order.
    pub(crate) fn finish(mut self, content: &Content) -> Result<Sorted, Refusal> {
        if !self.field_errors.is_empty() {
            return Err(Refusal { malformed: self.malformed, field_errors: self.field_errors.into_vec() });
        }
        if self.tally.reached.is_empty() {
            let field_error = ValidationError::new(
                "/recipients",
                ValidationCode::NoReachableRecipient,
                "no recipient has a usable address",
            );
            let mut field_errors = vec![field_error];
            field_errors.extend(self.tally.skipped.into_vec().into_iter().take(MAX_ERRORS - 1));
            return Err(Refusal { malformed: false, field_errors });
        }
        let reached = self.tally.reached.iter().map(|(channel, _)| channel);
        let too_long = too_long::find(content, reached, &self.rules);
        if too_long.len() == self.tally.reached.len() {
            // Nobody could get it.
            let field_errors = too_long.into_iter().map(ValidationError::from).collect();
            return Err(Refusal { malformed: false, field_errors });
        }
        self.tally.too_long = too_long;
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

/// The validated recipients of an order.
#[derive(Debug)]
pub(crate) struct Sorted {
    /// Digest of the whole order.
    pub(crate) digest: [u8; 12],
    /// Number of recipients without an address, for each channel of the order.
    pub(crate) no_contact: Vec<(Channel, u32)>,
    /// How the recipients were handled.
    pub(crate) tally: Tally,
}

/// Why an order is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    malformed: bool,
    field_errors: Vec<ValidationError>,
}

impl From<Refusal> for crate::problem::Problem {
    fn from(refusal: Refusal) -> Self {
        if refusal.malformed {
            let detail = "a recipient is not a JSON object, or repeats a name";
            let errors = refusal.field_errors.into_iter().map(crate::problem::Violation::from);
            return Self::new(crate::problem::Code::MalformedJson, detail).with_errors(errors);
        }
        super::validation_error::refused(refusal.field_errors)
    }
}
