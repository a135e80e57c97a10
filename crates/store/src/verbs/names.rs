//! Orders under short names, for what carries no more.

use std::time::Duration;

use futures::future::try_join_all;
use posthaste_model::Suffix;
use posthaste_protocol::scripts::remember::Remember;
use posthaste_protocol::{Keys, Value};

use super::malformed;
use crate::error::CallError;
use crate::node::{slot_of, text};
use crate::store::{Inner, Store};

/// Names kept for no longer share keys: one key each would be millions that end, and the server finds the ends of orders'
/// bells among them later and later.
const BRIEF: Duration = Duration::from_secs(3600);
/// Characters of a name at most.
const LONGEST: usize = 64;

/// The key of a name, one of `[A-Za-z0-9_-]{1,64}`: what comes from outside reaches no other key.
fn key(name: &str) -> Result<String, CallError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !plain || name.is_empty() || name.len() > LONGEST {
        return Err(malformed("name of an order"));
    }
    Ok(Keys::order_name(name))
}

impl Store {
    /// Remembers an order under a name for so long, from now on, or a little longer. The name is `[A-Za-z0-9_-]{1,64}` and the
    /// caller's to choose, as long as it is always kept for so long: another order under it is forgotten. Of names kept for an hour
    /// at most there may be thousands a second.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when it is no such name.
    pub async fn remember_order(&self, name: &str, order: &Suffix, keep: Duration) -> Result<(), CallError> {
        let key = key(name)?;
        if keep <= BRIEF {
            return self.0.call_apart(&Remember { name, order }).await;
        }
        let slot = slot_of(&key);
        let ms = keep.as_millis().max(1).to_string();
        let args = vec![text(key), text(order.to_string()), "PX".into(), text(ms)];
        self.0.reader().await?.ask("SET", args, slot).await.map(drop)
    }

    /// The order of a name; `None` when there is none.
    ///
    /// # Errors
    /// A [`CallError`]; `Fault` when it is no such name, or what is there is no order.
    pub async fn recall_order(&self, name: &str) -> Result<Option<Suffix>, CallError> {
        let key = key(name)?;
        let node = self.0.reader().await?;
        let places = Keys::order_names(name).map(|place| {
            let slot = slot_of(&place);
            node.ask("HGET", vec![text(place), text(name.to_owned())], slot)
        });
        let brief = try_join_all(places).await?.into_iter().find(|value| !matches!(value, Value::Nil));
        let found = match brief {
            Some(order) => Some(order.bytes("order of a name").map_err(|_| malformed("order of a name"))?),
            None => Inner::get(&node, slot_of(&key), key).await?,
        };
        let Some(order) = found else { return Ok(None) };
        let order = std::str::from_utf8(&order).ok().and_then(|order| order.parse().ok());
        order.map(Some).ok_or_else(|| malformed("order of a name"))
    }
}
