//! Accepting orders: small ones in one call; big ones are streamed in bounded memory and accepted as a whole at the
//! end.

mod error;
mod order;
mod retry;
mod writer;

pub use error::{AcceptError, NothingStored};
pub use order::{AcceptedChannel, AcceptedOrder, NewOrder, NewOrderHead};
pub use retry::{RetriedOrder, RetryRequest};
pub use writer::OrderWriter;

use crate::store::Store;

impl Store {
    /// Accepts a whole order.
    ///
    /// # Errors
    /// An [`AcceptError`]; unless it is `Unknown`, nothing of the order is stored.
    pub async fn accept(&self, order: &NewOrder) -> Result<AcceptedOrder, AcceptError> {
        let mut writer = self.open_order(order.head.clone())?;
        for (channel, delivery) in &order.deliveries {
            writer.push(channel, delivery.clone()).await?;
        }
        writer.finish(order.digest, &order.no_contact).await
    }
}
