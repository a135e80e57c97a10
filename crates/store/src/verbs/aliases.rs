//! Short names for orders, for uses that have no room for an order id.

use std::time::Duration;

use futures::future::try_join_all;
use posthaste_model::OrderId;
use posthaste_protocol::scripts::put_alias::PutAlias;
use posthaste_protocol::{PartitionKeys, ReplyValue};

use crate::command::text;
use crate::error::{CallError, malformed};
use crate::slot::slot_of;
use crate::store::Store;

/// Names kept no longer than this share keys. With one key per name there would be millions of expiring keys, and the
/// server would find the expired bells of orders among them later and later.
const BRIEF: Duration = Duration::from_secs(3600);
/// Most characters of a name.
const LONGEST: usize = 64;

/// The key of a name, one of `[A-Za-z0-9_-]{1,64}`, so that outside input reaches no other key.
fn key(name: &str) -> Result<String, CallError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if !plain || name.is_empty() || name.len() > LONGEST {
        return Err(malformed("name of an order"));
    }
    Ok(PartitionKeys::order_name(name))
}

impl Store {
    /// Remembers an order under a name for this long from now on, or a little longer. The caller chooses the name,
    /// `[A-Za-z0-9_-]{1,64}`, and must always keep it for the same time; another order under the name is forgotten.
    /// With names kept for at most an hour, there may be thousands a second.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the name is invalid.
    pub async fn remember_order(&self, name: &str, order: &OrderId, keep: Duration) -> Result<(), CallError> {
        let key = key(name)?;
        if keep <= BRIEF {
            return self.0.call_apart(&PutAlias { name, order }).await;
        }
        let slot = slot_of(&key);
        let ms = keep.as_millis().max(1).to_string();
        let args = vec![text(key), text(order.to_string()), "PX".into(), text(ms)];
        self.0.reader().await?.ask("SET", args, slot).await.map(drop)
    }

    /// The order with a name; `None` when there is none.
    ///
    /// # Errors
    /// A [`CallError`]; `InvalidReply` when the name is invalid, or the stored value is not an order id.
    pub async fn recall_order(&self, name: &str) -> Result<Option<OrderId>, CallError> {
        let key = key(name)?;
        let reader = self.0.reader().await?;
        let places = PartitionKeys::order_names(name).map(|place| {
            let slot = slot_of(&place);
            reader.ask("HGET", vec![text(place), text(name.to_owned())], slot)
        });
        let brief = try_join_all(places).await?.into_iter().find(|value| !matches!(value, ReplyValue::Nil));
        let found = match brief {
            Some(order) => Some(order.bytes("order of a name").map_err(|_| malformed("order of a name"))?),
            None => reader.get(slot_of(&key), key).await?,
        };
        let Some(order) = found else { return Ok(None) };
        let order = std::str::from_utf8(&order).ok().and_then(|order| order.parse().ok());
        order.map(Some).ok_or_else(|| malformed("order of a name"))
    }
}
