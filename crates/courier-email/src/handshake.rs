//! The beginning of a session: connects, starts TLS, reads what the relay offers, and authenticates.

use std::io;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Ehlo, Starttls};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::lookup_host;

use crate::relay::{Relay, Tls};
use crate::reply_parser::Answer;
use crate::smtp_stream::{SmtpErrorKind, SmtpStream};

/// Mechanisms of AUTH, in order of preference.
const MECHANISMS: [Mechanism; 2] = [Mechanism::Plain, Mechanism::Login];
/// Maximum number of challenges during AUTH.
const MOST_CHALLENGES: u8 = 10;

/// What a relay offers in its last reply to EHLO.
pub(crate) struct Offers {
    lines: Vec<String>,
}

impl Offers {
    async fn of(wire: &mut SmtpStream, hello: &ClientId) -> Result<Self, SmtpErrorKind> {
        let answer = wire.ask(Ehlo::new(hello.clone())).await?;
        // The first line is the name of the relay.
        has_class_2(&answer).map(|()| Self { lines: answer.lines.into_iter().skip(1).collect() })
    }

    /// Whether it offers this extension, which has no parameters.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.lines.iter().any(|line| line.trim().eq_ignore_ascii_case(name))
    }

    /// The preferred mechanism of AUTH. Old servers write `AUTH=`.
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

/// Connects, starts TLS if configured, and reads the reply to EHLO.
pub(crate) async fn greeted(relay: &Relay, hello: &ClientId) -> Result<(SmtpStream, Offers), SmtpErrorKind> {
    let mut wire = connect(relay).await?;
    if let Tls::Implicit(tls, name) = &relay.tls {
        wire = wire.secured(tls, name).await?;
    }
    has_class_2(&wire.answer().await?)?;
    let offers = Offers::of(&mut wire, hello).await?;
    let Tls::Upgrade(tls, name) = &relay.tls else { return Ok((wire, offers)) };
    if !offers.has("STARTTLS") {
        return Err(SmtpErrorKind::Lost("it does not offer STARTTLS".to_owned()));
    }
    if wire.ask(Starttls).await?.code != 220 {
        return Err(SmtpErrorKind::Nonsense);
    }
    let mut wire = wire.secured(tls, name).await?;
    // Offers from before TLS must be discarded (RFC 3207 4.2).
    let offers = Offers::of(&mut wire, hello).await?;
    Ok((wire, offers))
}

/// Authenticates.
pub(crate) async fn authenticate(
    wire: &mut SmtpStream,
    offers: &Offers,
    credentials: &Credentials,
) -> Result<(), SmtpErrorKind> {
    // The library's error text contains no secret, and nothing useful.
    let no_way = |_| SmtpErrorKind::Lost("it sends an AUTH challenge that can't be answered".to_owned());
    let mechanism = offers
        .mechanism()
        .ok_or_else(|| SmtpErrorKind::Lost("it offers neither AUTH PLAIN nor AUTH LOGIN".to_owned()))?;
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
            _ => return Err(SmtpErrorKind::Nonsense),
        }
    }
    Err(SmtpErrorKind::Nonsense)
}

/// A reply of another class does not belong to this command.
pub(crate) fn has_class_2(answer: &Answer) -> Result<(), SmtpErrorKind> {
    if answer.code / 100 == 2 { Ok(()) } else { Err(SmtpErrorKind::Nonsense) }
}

/// Connects to the first address of the relay that accepts.
async fn connect(relay: &Relay) -> io::Result<SmtpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no usable address");
    for address in lookup_host((relay.host.as_str(), relay.port)).await? {
        if !relay.may_connect(&address) {
            continue;
        }
        match SmtpStream::connect(address).await {
            Ok(wire) => return Ok(wire),
            Err(error) => last = error,
        }
    }
    Err(last)
}
