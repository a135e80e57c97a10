//! Making a key: what it is to allow, and its random secret.

use posthaste_model::{Address, SenderId, Text, UnixMs};
use posthaste_store::{CallError, KeyCreated, KeyId, NewKey, Scope, Scopes, SendAs, Store};
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::auth::{Bearer, Secret};
use crate::intake::{display_name, mailbox};

/// Letters of a key's id.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Mailboxes, and display names, a key may be bound to at most.
const MOST_SEND_AS: usize = 64;
/// How often an id that is taken is drawn again.
const TRIES: u32 = 4;

/// What a key is to allow.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Its name, for people, 1 to 64 bytes; two live keys may share it, so that one can replace the other.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// The sender it is bound to.
    pub sender: Option<SenderId>,
    /// The role it is bound to.
    pub role: Option<String>,
    /// The mailboxes and names its orders may be from, see [`send_as`].
    pub send_as: SendAs,
    /// When it ends.
    pub expires: Option<UnixMs>,
}

/// A key that was made. The bearer holds its secret.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The key itself.
    pub bearer: Bearer,
    /// When it was made.
    pub created: UnixMs,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Correct the name.
    #[error("a key's name has 1 to 64 bytes and no control characters")]
    Name,
    /// Name a sender: without `act_as` a key that sends or reads is bound to one.
    #[error("a key without act_as must be bound to a sender")]
    Unbound,
    /// Leave the sender and role out: `act_as` names them in each order.
    #[error("a key with act_as is not bound to a sender or role")]
    Bound,
    /// Name a scope.
    #[error("a key needs a scope")]
    Powerless,
    /// Correct a mailbox.
    #[error(
        "a mailbox is name@example.org, *@example.org for all of a domain, or * for any; {MOST_SEND_AS} at most"
    )]
    Mailbox,
    /// Correct a display name.
    #[error("a display name is one line of 256 characters at most, or * for any; {MOST_SEND_AS} at most")]
    DisplayName,
    /// Revoke one of them first.
    #[error("two live keys have this name")]
    TwoLive,
    /// Revoke some first.
    #[error("there are too many keys")]
    Full,
    /// The system gives no random numbers.
    #[error("no random numbers")]
    Random(#[source] rand::rand_core::OsError),
    /// Try again later: there is no new key.
    #[error("the store refused")]
    Call(#[source] CallError),
    /// Look whether a key of this id is there, and revoke it: it may have been made, and its secret is lost.
    #[error("a key {0} may have been made")]
    Unknown(KeyId, #[source] CallError),
}

/// Makes a key and stores what is to be stored of it.
///
/// # Errors
/// A [`MintError`]; unless it is `Unknown`, there is no new key.
pub async fn mint(store: &Store, wanted: &Wanted) -> Result<Minted, MintError> {
    check(wanted)?;
    let mut last = MintError::Full;
    for _ in 0..TRIES {
        let bearer = draw().map_err(MintError::Random)?;
        let key = NewKey {
            id: bearer.id.clone(),
            name: wanted.name.clone(),
            hash: bearer.secret.hash(),
            scopes: wanted.scopes,
            sender: wanted.sender.clone(),
            role: wanted.role.clone(),
            send_as: wanted.send_as.clone(),
            expires: wanted.expires,
        };
        let made = store.create_key(&key).await.map_err(|error| match error.may_have_happened() {
            true => MintError::Unknown(bearer.id.clone(), error),
            false => MintError::Call(error),
        });
        match made? {
            KeyCreated::Created(created) | KeyCreated::Same(created) => {
                return Ok(Minted { bearer, created });
            }
            KeyCreated::Taken => last = MintError::Full,
            KeyCreated::TwoLive(_) => return Err(MintError::TwoLive),
            KeyCreated::Full => return Err(MintError::Full),
        }
    }
    Err(last)
}

fn check(wanted: &Wanted) -> Result<(), MintError> {
    let name = &wanted.name;
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        return Err(MintError::Name);
    }
    if wanted.scopes.is_empty() {
        return Err(MintError::Powerless);
    }
    let bound = wanted.sender.is_some();
    match wanted.scopes.contains(Scope::ActAs) {
        true if bound || wanted.role.is_some() => Err(MintError::Bound),
        false
            if !bound && (wanted.scopes.contains(Scope::Enqueue) || wanted.scopes.contains(Scope::Read)) =>
        {
            Err(MintError::Unbound)
        }
        _ => Ok(()),
    }
}

/// Reads the mailboxes and display names a key may send from; domains are written in lower case.
///
/// # Errors
/// [`MintError::Mailbox`] or [`MintError::DisplayName`].
pub fn send_as(mailboxes: &[String], names: &[String]) -> Result<SendAs, MintError> {
    if mailboxes.len() > MOST_SEND_AS {
        return Err(MintError::Mailbox);
    }
    if names.len() > MOST_SEND_AS {
        return Err(MintError::DisplayName);
    }
    let read = |given: &String| match (given.as_str(), given.strip_prefix("*@")) {
        ("*", _) => Ok(Address::new("*")),
        (_, Some(domain)) => {
            let one = mailbox(&format!("any@{domain}")).map_err(|_| MintError::Mailbox)?;
            Ok(Address::new(one.replacen("any", "*", 1)))
        }
        // A star means something here alone: no address that has one is meant.
        (one, None) if one.contains('*') => Err(MintError::Mailbox),
        (one, None) => mailbox(one).map(Address::new).map_err(|_| MintError::Mailbox),
    };
    let is_name = |name: &String| !name.trim().is_empty() && display_name(name, "").is_ok();
    if !names.iter().all(is_name) {
        return Err(MintError::DisplayName);
    }
    Ok(SendAs {
        mailboxes: mailboxes.iter().map(read).collect::<Result<_, _>>()?,
        names: names.iter().map(Text::new).collect(),
    })
}

/// A key of 256 random bits with a random id.
fn draw() -> Result<Bearer, rand::rand_core::OsError> {
    let mut bits = [0; 32];
    OsRng.try_fill_bytes(&mut bits)?;
    loop {
        let mut id = String::with_capacity(12);
        for _ in 0..12 {
            // 252 is the largest multiple of 36 in a byte: without the rest every letter is as likely.
            let byte = loop {
                let mut one = [0];
                OsRng.try_fill_bytes(&mut one)?;
                if one[0] < 252 {
                    break one[0];
                }
            };
            id.push(char::from(ALPHABET[usize::from(byte % 36)]));
        }
        if let Ok(id) = id.parse::<KeyId>() {
            return Ok(Bearer { id, secret: Secret::from_bits(bits) });
        }
    }
}
