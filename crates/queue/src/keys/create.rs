//! Creates a key: what it allows, and its random secret.

use posthaste_model::{Address, SenderId, Text, UnixMs};
use posthaste_store::{CallError, KeyCreated, KeyId, KeyScope, KeyScopes, NewKey, SendAs, Store};
use rand::TryRngCore;
use rand::rngs::OsRng;

use crate::auth::{Bearer, Secret};
use crate::intake::{display_name, mailbox};

/// Characters of a key's id.
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Maximum mailboxes, and display names, a key may be bound to.
const MOST_SEND_AS: usize = 64;
/// How many ids are tried when one is already taken.
const TRIES: u32 = 4;

/// What the new key allows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Its name, for people, 1 to 64 bytes; two live keys may share it, so that one can replace the other.
    pub name: String,
    /// What it allows.
    pub scopes: KeyScopes,
    /// The sender it is bound to.
    pub sender: Option<SenderId>,
    /// The role it is bound to.
    pub role: Option<String>,
    /// The mailboxes and names its orders may be sent from, see [`send_as`].
    pub send_as: SendAs,
    /// When it expires.
    pub expires: Option<UnixMs>,
}

/// A key that was created. The bearer holds its secret.
#[derive(Debug, Clone)]
pub struct Minted {
    /// The key itself.
    pub bearer: Bearer,
    /// When it was created.
    pub created: UnixMs,
}

/// Why no key was created.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Correct the name.
    #[error("the name must be 1 to 64 bytes without control characters")]
    Name,
    /// Name a sender: a key without `any_sender` that sends or reads must be bound to one.
    #[error("a key without any_sender must be bound to a sender")]
    Unbound,
    /// Leave the sender and role out: with `any_sender`, each order names them.
    #[error("a key with any_sender must not be bound to a sender or role")]
    Bound,
    /// Name a scope.
    #[error("a key needs at least one scope")]
    Powerless,
    /// Correct a mailbox.
    #[error(
        "a mailbox is name@example.org, *@example.org for a whole domain, or * for any; at most {MOST_SEND_AS}"
    )]
    Mailbox,
    /// Correct a display name.
    #[error(
        "a display name is one line of at most 256 characters, or * for any; at most {MOST_SEND_AS} names"
    )]
    DisplayName,
    /// Revoke one of them first.
    #[error("two live keys already have this name; revoke one of them first")]
    NameTaken,
    /// Revoke some first.
    #[error("there are too many keys; revoke some first")]
    Full,
    /// The system returns no random numbers.
    #[error("the system returned no random numbers")]
    Random(#[source] rand::rand_core::OsError),
    /// Try again later: no key was created.
    #[error("the store refused; no key was created, try again later")]
    Call(#[source] CallError),
    /// List the keys, and revoke the one with this id if it is there: it may have been created, and its secret is lost.
    #[error(
        "the key {0} may have been created and its secret is lost; list the keys and revoke it if it is there"
    )]
    Unknown(KeyId, #[source] CallError),
}

/// Creates a key and stores its record.
///
/// # Errors
/// A [`MintError`]; unless it is `Unknown`, no key was created.
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
            KeyCreated::Created(created) | KeyCreated::AlreadyDone(created) => {
                return Ok(Minted { bearer, created });
            }
            KeyCreated::IdTaken => last = MintError::Full,
            KeyCreated::NameTaken(_) => return Err(MintError::NameTaken),
            KeyCreated::LimitReached => return Err(MintError::Full),
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
    match wanted.scopes.contains(KeyScope::AnySender) {
        true if bound || wanted.role.is_some() => Err(MintError::Bound),
        false
            if !bound
                && (wanted.scopes.contains(KeyScope::Write) || wanted.scopes.contains(KeyScope::Read)) =>
        {
            Err(MintError::Unbound)
        }
        _ => Ok(()),
    }
}

/// Parses the mailboxes and display names a key may send from; domains are written in lower case.
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
        // A star is only allowed as a wildcard: no address that contains one is meant.
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
            // 252 is the largest multiple of 36 that fits a byte: rejecting the rest makes every character equally likely.
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
