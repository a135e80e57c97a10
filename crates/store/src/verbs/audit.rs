//! Orders in the order of their acceptance, for whoever walks them.

use posthaste_model::Suffix;
use posthaste_protocol::Malformed;

use crate::error::{CallError, Fault};
use crate::node::text;
use crate::store::Store;

impl Store {
    /// Orders of a partition from position `from` of its list on, oldest first, `count` at most. Retired orders may be
    /// among them. Fewer than `count`: the list is at its end.
    ///
    /// # Errors
    /// A [`CallError`].
    pub async fn orders(&self, p: u16, from: u64, count: u32) -> Result<Vec<Suffix>, CallError> {
        let at = self.0.partition(p)?;
        let last = from.saturating_add(u64::from(count.max(1)) - 1);
        let args = vec![text(at.keys.orders()), text(from.to_string()), text(last.to_string())];
        let found = self.0.reader().await?.ask("LRANGE", args, at.slot).await?;
        let fault = |malformed| CallError::Fault(Fault::Malformed(malformed));
        let mut orders = Vec::new();
        for suffix in found.array("orders").map_err(fault)? {
            let suffix = suffix.text("suffix").map_err(fault)?;
            orders.push(suffix.parse().map_err(|_| fault(Malformed::new("suffix")))?);
        }
        Ok(orders)
    }
}
