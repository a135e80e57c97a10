//! The couriers in this binary, one for each channel of `posthaste_model::channels`, in the same order. A new channel gets
//! a line here and one there.

use posthaste_courier::CourierProgram;

/// The couriers.
pub(crate) static COURIERS: &[&CourierProgram] = &[
    &posthaste_courier_email::COURIER,
    &posthaste_courier_sms::COURIER,
    &posthaste_courier_telegram::COURIER,
    &posthaste_courier_vk::COURIER,
    &posthaste_courier_webhook::COURIER,
];

#[cfg(test)]
mod tests {
    use posthaste_model::CHANNELS;
    use toml::Table;

    use super::*;

    #[test]
    fn every_channel_has_its_courier() {
        let couriers: Vec<_> = COURIERS.iter().map(|program| program.channel.name).collect();
        assert_eq!(couriers, CHANNELS.iter().map(|channel| channel.name).collect::<Vec<_>>());
    }

    #[test]
    fn every_courier_has_the_sections_of_its_descriptor() {
        for program in COURIERS {
            let defaults: Table = program.process.defaults.parse().expect("TOML");
            let mut sections: Vec<_> = defaults.keys().map(String::as_str).collect();
            let mut named = program.channel.sections.to_vec();
            sections.sort_unstable();
            named.sort_unstable();
            assert_eq!(sections, named, "{program:?}");
        }
    }

    #[test]
    fn new_names_of_settings_exist_and_old_ones_do_not() {
        let texts = COURIERS.iter().map(|program| program.process.defaults);
        let texts = texts.chain([posthaste_courier::process::DEFAULTS, posthaste_queue::settings::DEFAULTS]);
        let tables: Vec<Table> = texts.map(|text| text.parse().expect("TOML")).collect();
        let exists = |key: &str| {
            let (section, name) = key.split_once('.').expect("section.name");
            let has = |table: &Table| table.get(section).and_then(|section| section.get(name)).is_some();
            tables.iter().any(has)
        };
        for (old, new) in posthaste_ops::config::RENAMED {
            assert!(exists(new), "{new} is no setting");
            assert!(!exists(old), "{old} is still a setting");
        }
    }

    #[test]
    fn the_queue_accepts_the_channels_that_are_on_by_default() {
        let defaults = posthaste_queue::settings::DEFAULTS;
        let defaults: Table = defaults.parse().expect("TOML");
        let accepted: Vec<_> = defaults["orders"]["channels"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|name| name.as_str())
            .collect();
        let on = CHANNELS.iter().filter(|channel| channel.by_default);
        assert_eq!(accepted, on.map(|channel| channel.name).collect::<Vec<_>>());
    }
}
