//! `posthaste courier`: lists couriers, and runs the courier of a channel as a process.

use clap::ArgMatches;
use posthaste_client::{ApiResponse, CourierStatus};
use posthaste_courier::CourierProgram;

use crate::channels::COURIERS;
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Column, Format, Reader, tell_missing};

/// The commands about couriers: `list`, and one for each channel.
#[derive(Debug)]
pub(crate) enum Command {
    /// List the channels and whether each has a running courier.
    List,
    /// Run the courier of a channel with these arguments until it is stopped.
    Run(&'static CourierProgram, Box<ArgMatches>),
}

impl clap::FromArgMatches for Command {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let run = matches.subcommand().and_then(|(name, own)| {
            let program = COURIERS.iter().find(|program| program.channel.name == name)?;
            Some(Self::Run(program, Box::new(own.clone())))
        });
        Ok(run.unwrap_or(Self::List))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Subcommand for Command {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        let list =
            clap::Command::new("list").about("List the channels and whether each has a running courier");
        COURIERS.iter().fold(command.subcommand(list), |command, program| {
            let about = format!("Run the {} courier until it is stopped", program.channel.noun);
            let run = (program.arguments)(clap::Command::new(program.channel.name));
            command.subcommand(run.about(about).long_about(None))
        })
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        name == "list" || COURIERS.iter().any(|program| program.channel.name == name)
    }
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
        Column { title: "State", cell: |courier, _| courier.seen.state.clone() },
        Column {
            title: "Last seen at",
            cell: |courier, reader| reader.moment(courier.seen.last_seen_at.as_deref()),
        },
        Column {
            title: "Delivery receipts",
            cell: |courier, reader| reader.answer(courier.seen.delivery_receipts),
        },
        Column { title: "Waiting", cell: |courier, _| courier.seen.waiting_count.to_string() },
        Column {
            title: "Oldest due at",
            cell: |courier, reader| reader.moment(courier.seen.oldest_due_at.as_deref()),
        },
        Column { title: "Since", cell: |courier, reader| reader.moment(courier.seen.since.as_deref()) },
        Column { title: "Until", cell: |courier, reader| reader.moment(courier.seen.until.as_deref()) },
        Column { title: "Cause", cell: |courier, _| courier.seen.cause.clone().unwrap_or_default() },
    ];
    let output = context.output(Format::Table);
    let mut rows = output.rows(&columns, std::io::stdout());
    for courier in &found.items {
        rows.push(courier)?;
    }
    tell_missing(&mut rows, &found.partitions_missing, "orders", &context.terminal)?;
    rows.end()?;
    if output.format() == Format::Table {
        let ailing = |courier: &&ApiResponse<CourierStatus>| {
            courier.seen.online && ["resting", "stopped"].contains(&courier.seen.state.as_str())
        };
        for courier in found.items.iter().filter(ailing) {
            if let Some(remedy) = &courier.seen.remedy {
                context.terminal.hint(&format!("{}: {remedy}", courier.seen.channel));
            }
        }
    }
    if output.format() == Format::Table && !found.items.iter().any(|courier| courier.seen.online) {
        context
            .terminal
            .hint("No courier is running, so orders wait. Start the ones you need:  posthaste courier email --config FILE");
    }
    Ok(())
}
