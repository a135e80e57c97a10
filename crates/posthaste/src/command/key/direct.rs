//! A key created directly in the store: for the first key of an installation, when no key exists yet to request one with.

use jiff::Timestamp;
use posthaste_model::UnixMs;
use posthaste_queue::keys::{MintError, Wanted, mint, send_as};

use super::out_file::OutFile;
use super::{CreateArgs, show_key};
use crate::context::Context;
use crate::failure::{Failure, Kind, Result};

/// Creates the key.
///
/// # Errors
/// The store cannot be used, or the key is not valid.
pub(super) async fn create(
    args: &CreateArgs,
    expires: Option<Timestamp>,
    out: Option<OutFile>,
    context: &Context,
) -> Result<()> {
    let send_as = send_as(&args.mailbox, &args.display_name)
        .map_err(|error| Failure::usage("no key was created").because(error))?;
    let settings = crate::store::settings(args.config.clone(), args.redis.as_deref())?;
    let (store, _) = crate::store::connect(settings).await?;
    let wanted = Wanted {
        name: args.name.clone(),
        scopes: args.scope.iter().copied().collect(),
        sender: args.sender.clone(),
        role: args.role.clone(),
        send_as,
        expires: expires.map(|moment| UnixMs(u64::try_from(moment.as_millisecond()).unwrap_or(0))),
    };
    let minted = mint(&store, &wanted).await;
    store.disconnect().await;
    let minted = minted.map_err(|error| match error {
        MintError::Call(error) => Failure::new(Kind::Unreachable, "Redis does not respond").because(error),
        MintError::Unknown(ref id, _) => {
            let hint =
                format!("key {id} may have been created, but its secret is lost; if `posthaste key list` has it, revoke it");
            Failure::new(Kind::Unreachable, hint).because(error)
        }
        MintError::Random(_) => Failure::error("no key could be created").because(error),
        other => Failure::refused("no key was created").because(other),
    })?;
    let (id, key) = (minted.bearer.id.to_string(), minted.bearer.expose());
    show_key(context, out, &serde_json::json!({"id": id, "key": key}), &id, &key)
}
