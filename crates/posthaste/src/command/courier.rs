//! `posthaste courier`: lists couriers, and runs the courier of a channel as a process.

use posthaste_client::{ApiResponse, CourierStatus};

use crate::context::Context;
use crate::failure::Result;
use crate::output::{Column, Format, Reader, tell_missing};

/// The commands about couriers.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the channels and whether each has a running courier.
    List,
    /// Run the e-mail courier until it is stopped.
    Email(Box<posthaste_courier_email::Args>),
    /// Run the SMS courier until it is stopped.
    Sms(Box<posthaste_courier_sms::Args>),
    /// Run the Telegram courier until it is stopped.
    Telegram(Box<posthaste_courier_telegram::Args>),
    /// Run the VK courier until it is stopped.
    Vk(Box<posthaste_courier_vk::Args>),
}

/// Lists couriers.
///
/// # Errors
/// The queue does not respond, or rejects the request.
pub(crate) async fn list(context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let found = client.couriers().await?;
    let columns = [
        Column {
            title: "Channel",
            cell: |courier: &ApiResponse<CourierStatus>, _: &Reader<'_>| courier.seen.channel.clone(),
        },
        Column { title: "Online", cell: |courier, reader| reader.answer(Some(courier.seen.online)) },
        Column {
            title: "Last seen at",
            cell: |courier, reader| reader.moment(courier.seen.last_seen_at.as_deref()),
        },
        Column {
            title: "Delivery receipts",
            cell: |courier, reader| reader.answer(courier.seen.delivery_receipts),
        },
    ];
    let output = context.output(Format::Table);
    let mut rows = output.rows(&columns, std::io::stdout());
    for courier in &found.items {
        rows.push(courier)?;
    }
    tell_missing(&mut rows, &found.partitions_missing, "orders", &context.terminal)?;
    rows.end()?;
    if output.format() == Format::Table && !found.items.iter().any(|courier| courier.seen.online) {
        context
            .terminal
            .hint("No courier is running, so orders wait. Start the ones you need:  posthaste courier email --config FILE");
    }
    Ok(())
}
