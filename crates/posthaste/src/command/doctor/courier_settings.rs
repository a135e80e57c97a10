//! The options `--email FILE`, `--sms FILE` and so on: which couriers to check, with which settings.

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};
use posthaste_courier::CourierProgram;

use crate::channels::COURIERS;

/// The couriers to check, each with its settings file, or with none for its environment alone.
#[derive(Debug)]
pub(super) struct CourierSettings(Vec<(&'static CourierProgram, Option<PathBuf>)>);

impl CourierSettings {
    /// The couriers that are named.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(&'static CourierProgram, Option<PathBuf>)> {
        self.0.iter()
    }
}

impl clap::FromArgMatches for CourierSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let named = COURIERS.iter().filter(|program| matches.contains_id(program.channel.name));
        Ok(Self(named.map(|program| (*program, matches.get_one(program.channel.name).cloned())).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for CourierSettings {
    fn augment_args(command: Command) -> Command {
        COURIERS.iter().fold(command, |command, program| {
            let (name, noun) = (program.channel.name, program.channel.noun);
            let help = format!(
                "Also check the {noun} courier's settings: {}. Without FILE, its environment variables are used. Sends nothing",
                program.checks
            );
            let file = Arg::new(name).long(name).value_name("FILE").num_args(0..=1);
            command.arg(file.value_parser(value_parser!(PathBuf)).help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}
