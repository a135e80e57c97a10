//! The beginning of a conversation: connects, protects the bytes, learns what the relay offers, and says who we are.

use std::io;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::lookup_host;

use crate::answer::Answer;
use crate::relay::{Relay, Tls};
use crate::wire::{What, Wire};

/// Mechanisms of AUTH, the better first.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
/// Questions a relay may ask before it knows us.
const MOST_CHALLENGES: u8 = 10;

/// What a relay offers, in its last answer to EHLO.
pub(crate) struct Offers {
    lines: Vec<String>,
}

impl Offers {
    async fn of(wire: &mut Wire, hello: &ClientId) -> Result<Self, What> {
        let answer = wire.ask(Ehlo::new(hello.clone())).await?;
        // The first line is its name.
        has_class_2(&answer).map(|()| Self { lines: answer.lines.into_iter().skip(1).collect() })
    }

    /// Whether it offers this, which has no parameters.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.trim().eq_ignore_ascii_case(name))
    }

    /// The best mechanism of AUTH. Old servers write `AUTH=`.
    fn mechanism(&self) -> Option<Mechanism> {
        let offered = |wanted: &Mechanism| {
            let wanted = wanted.to_string();
            self.lines.iter().any(|line| {
                let mut words = line.split([' ', '\t', '=']).filter(|word| !word.is_empty());
                words.next().is_some_and(|word| word.eq_ignore_ascii_case("AUTH"))
                    && words.any(|word| word.eq_ignore_ascii_case(&wanted))
            })
        };
        MECHANISMS.into_iter().find(offered)
    }
}

/// Connects, up to the answer to EHLO under the protection that is wanted.
pub(crate) async fn greeted(relay: &Relay, hello: &ClientId) -> Result<(Wire, Offers), What> {
    let mut wire = connect(relay).await?;
    if let Tls::Implicit(tls, name) = &relay.tls {
        wire = wire.secured(tls, name).await?;
    }
    has_class_2(&wire.answer().await?)?;
    let offers = Offers::of(&mut wire, hello).await?;
    let Tls::Upgrade(tls, name) = &relay.tls else { return Ok((wire, offers)) };
    if !offers.has("STARTTLS") {
        return Err(What::Lost("it does not offer STARTTLS".to_owned()));
    }
    if wire.ask(Starttls).await?.code != 220 {
        return Err(What::Nonsense);
    }
    let mut wire = wire.secured(tls, name).await?;
    // What was offered in plain is forgotten (RFC 3207 4.2).
    let offers = Offers::of(&mut wire, hello).await?;
    Ok((wire, offers))
}

/// Says who we are.
pub(crate) async fn authenticate(
    wire: &mut Wire,
    offers: &Offers,
    credentials: &Credentials,
) -> Result<(), What> {
    // What the library says of its errors holds no secret, and nothing that would help.
    let no_way = |_| What::Lost("it asks for what we can't answer in AUTH".to_owned());
    let mechanism = offers
        .mechanism()
        .ok_or_else(|| What::Lost("it offers neither AUTH PLAIN nor AUTH LOGIN".to_owned()))?;
    let mut command = Auth::new(mechanism, credentials.clone(), None).map_err(no_way)?;
    for _ in 0..=MOST_CHALLENGES {
        let answer = wire.ask(&command).await?;
        match answer.code {
            235 => return Ok(()),
            334 => {
                let challenge = format!("334 {}\r\n", answer.text()).parse::<Response>().map_err(no_way)?;
                command =
                    Auth::new_from_response(mechanism, credentials.clone(), &challenge).map_err(no_way)?;
            }
            _ => return Err(What::Nonsense),
        }
    }
    Err(What::Nonsense)
}

/// An answer of another class is one to something else.
pub(crate) fn has_class_2(answer: &Answer) -> Result<(), What> {
    if answer.code / 100 == 2 { Ok(()) } else { Err(What::Nonsense) }
}

/// Connects to the first address of the relay that answers.
async fn connect(relay: &Relay) -> io::Result<Wire> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address that may be used");
    for address in lookup_host((relay.host.as_str(), relay.port)).await? {
        if !relay.may_connect(&address) {
            continue;
        }
        match Wire::connect(address).await {
            Ok(wire) => return Ok(wire),
            Err(error) => last = error,
        }
    }
    Err(last)
}
