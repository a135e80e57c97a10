//! The options `--email ADDRESS`, `--sms NUMBER` and so on: recipients given on the command line.

use clap::{Arg, ArgAction, ArgMatches, Command};
use posthaste_model::{CHANNELS, ChannelDescriptor};
use posthaste_people_file::{Field, Person};

/// The addresses, by channel.
pub(super) struct Addresses(Vec<(&'static ChannelDescriptor, Vec<String>)>);

impl Addresses {
    /// Recipients, one per address.
    pub(super) fn people(&self) -> Vec<Person> {
        let all =
            self.0.iter().flat_map(|(channel, list)| list.iter().map(move |address| (*channel, address)));
        all.enumerate()
            .map(|(at, (channel, address))| {
                Person::at(format!("given-{}", at + 1), Field::Address(channel), address)
            })
            .collect()
    }
}

/// Addresses are personal: their number is enough for a log.
impl std::fmt::Debug for Addresses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Addresses({})", self.0.iter().map(|(_, list)| list.len()).sum::<usize>())
    }
}

impl clap::FromArgMatches for Addresses {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |channel: &ChannelDescriptor| {
            matches.get_many::<String>(channel.name).into_iter().flatten().cloned().collect()
        };
        Ok(Self(CHANNELS.iter().map(|channel| (*channel, given(channel))).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for Addresses {
    fn augment_args(command: Command) -> Command {
        CHANNELS.iter().fold(command, |command, channel| {
            let address = Arg::new(channel.name)
                .long(channel.name)
                .value_name(channel.value_name)
                .action(ArgAction::Append)
                // The ids of groups and communities are negative.
                .allow_hyphen_values(channel.address.is_numeric());
            command.arg(address.help_heading("Recipients").help(format!("{}. May be repeated", channel.help)))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The help of `--channel`.
pub(super) fn channel_help() -> String {
    let names: Vec<_> = CHANNELS.iter().map(|channel| channel.name).collect();
    let (last, others) = names.split_last().unwrap_or((&"", &[]));
    format!("Use only this channel: {} or {last}. May be repeated", others.join(", "))
}
