//! `posthaste doctor`: finds problems and explains how to fix them.

mod courier_settings;
mod findings;
mod keys;
mod store;

use std::path::PathBuf;
use std::time::Duration;

use jiff::fmt::rfc2822;
use posthaste_client::{ApiResponse, Client, CourierStatus, Page};
use posthaste_courier::Checked;

use self::findings::{Finding, FindingLevel, Findings};
use crate::context::Context;
use crate::dev;
use crate::failure::{Failure, Kind, Result};
use crate::output::{Column, Format, Reader, missing_words};

const EXAMPLES: &str = "\
Examples:
  posthaste doctor                          check the settings, queue, API key, couriers, and what `dev` needs
  posthaste doctor --config queue.toml      also check the queue's Redis
  posthaste doctor --email email.toml       also check the e-mail relays and whether they accept the credentials
  posthaste doctor --sms sms.toml --telegram telegram.toml --vk vk.toml     the same for the other couriers
  posthaste doctor --telegram               a courier configured by environment variables alone
";

/// A larger difference between clocks, in seconds, is reported.
const SKEW: i64 = 2;

/// Arguments of `posthaste doctor`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Args {
    /// Also check the Redis server in this settings file of the queue. Nothing is written to it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Also check the Redis server at this address. Nothing is written to it.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    #[command(flatten)]
    couriers: courier_settings::CourierSettings,
}

/// Runs all checks.
///
/// # Errors
/// A finding is bad; all findings are printed first.
pub(crate) async fn run(args: Args, context: &Context) -> Result<()> {
    let mut findings = Findings::default();
    if let Some(client) = settings(context, &mut findings) {
        queue(&client, &mut findings).await;
    }
    if args.config.is_some() || args.redis.is_some() {
        store::look(args.config.clone(), args.redis.as_deref(), &mut findings).await;
    }
    if let Some(config) = &args.config {
        store::sms_limits(config, &mut findings);
    }
    couriers(&args.couriers, &mut findings).await;
    for_dev(&mut findings);
    let findings = findings.into_list();
    print(&findings, context)?;
    let bad: Vec<&Finding> = findings.iter().filter(|finding| finding.level == FindingLevel::Bad).collect();
    match bad.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(
            first.kind,
            format!("problems found: {} of {} checks", bad.len(), findings.len()),
        )),
    }
}

fn settings(context: &Context, findings: &mut Findings) -> Option<Client> {
    let made = context.settings().and_then(|loaded| {
        let origin = |key: &str| loaded.origins.of(key).map(ToString::to_string).unwrap_or_default();
        let client = crate::client::new(&loaded.settings.client)?;
        Ok((client, origin("client.server"), origin("client.token")))
    });
    match made {
        Ok((client, server, token)) => {
            findings.say(
                FindingLevel::Good,
                "settings",
                format!("the queue is at {} (from {server})", client.server()),
            );
            if client.is_in_the_clear() {
                findings.note(
                    "connection",
                    "not encrypted: others on the network can read the API key and all messages",
                    "Put a TLS reverse proxy in front of the queue, and use its https:// address.",
                );
            }
            match client.has_token() {
                true => findings.say(FindingLevel::Good, "key", format!("from {token}")),
                false => findings.note(
                    "key",
                    "no API key",
                    "Set one: --token-file FILE, or token_file in client.toml.",
                ),
            }
            Some(client)
        }
        Err(failure) => {
            findings.bad("settings", &failure);
            None
        }
    }
}

async fn queue(client: &Client, findings: &mut Findings) {
    let answer = match client.fetch(&["v1", "couriers"], &[], Duration::from_secs(5)).await {
        Ok(answer) => answer,
        Err(error) => return findings.bad("queue", &error.into()),
    };
    findings.say(FindingLevel::Good, "queue", "responds, and accepts the API key");
    if let Some(there) = answer.date().and_then(|date| rfc2822::parse(date).ok()) {
        let away = (crate::moment::now().timestamp() - there.timestamp()).get_seconds();
        match away.abs() > SKEW {
            true => findings.note(
                "clock",
                format!("this computer's clock differs from the queue's by {away} s"),
                "Synchronize both (systemd-timesyncd, chrony): times such as --at 09:00 use this computer's clock.",
            ),
            false => findings.say(FindingLevel::Good, "clock", "agrees with the queue's"),
        }
    }
    match answer.json::<Page<CourierStatus>>() {
        Ok(found) => {
            if !found.partitions_missing.is_empty() {
                findings.note(
                    "database",
                    missing_words(&found.partitions_missing, "orders"),
                    "Start the Redis server that holds them, or promote its replica. To see which one it is: \
                     posthaste doctor --config queue.toml",
                );
            }
            let (there, away): (Vec<_>, Vec<_>) = found.items.iter().partition(|courier| courier.seen.online);
            let names = |couriers: &[&ApiResponse<CourierStatus>]| {
                couriers
                    .iter()
                    .map(|courier| crate::terminal::plain(&courier.seen.channel))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            for courier in &there {
                channel(&courier.seen, findings);
            }
            if !there.is_empty() {
                findings.say(FindingLevel::Good, "couriers", format!("running: {}", names(&there)));
            }
            if !away.is_empty() || there.is_empty() {
                let who = if away.is_empty() {
                    "no courier has ever run".to_owned()
                } else {
                    format!("not running: {}", names(&away))
                };
                findings.note(
                    "couriers",
                    who,
                    "Messages on these channels wait. Start a courier: posthaste courier email --config FILE",
                );
            }
        }
        Err(error) => findings.bad("couriers", &error.into()),
    }
    keys::tell(client, findings).await;
}

/// Reports on a channel whose courier is there and does not send.
fn channel(seen: &CourierStatus, findings: &mut Findings) {
    let level = match seen.state.as_str() {
        "stopped" => FindingLevel::Bad,
        "resting" | "silent" => FindingLevel::Note,
        _ => return,
    };
    let plain = |text: &Option<String>| text.as_deref().map(crate::terminal::plain);
    let mut found = seen.state.clone();
    if let Some(since) = plain(&seen.since) {
        found += &format!(" since {since}");
    }
    if let Some(cause) = plain(&seen.cause) {
        found += &format!(": {cause}");
    }
    found += &format!("; {} deliveries wait", seen.waiting_count);
    if let Some(due) = plain(&seen.oldest_due_at) {
        found += &format!(", the oldest since {due}");
    }
    let (name, remedy) = (crate::terminal::plain(&seen.channel), plain(&seen.remedy).unwrap_or_default());
    match level {
        FindingLevel::Bad => findings.bad(&name, &Failure::refused(found).remedy(remedy)),
        _ => findings.note(&name, found, remedy),
    }
}

/// Checks whether couriers with these settings can work.
async fn couriers(named: &courier_settings::CourierSettings, findings: &mut Findings) {
    for (program, config) in named.iter() {
        // Without a file, the check uses what the courier would start with: its environment, which may name a file.
        let args = posthaste_courier::process::Args {
            config: config.clone().or_else(|| std::env::var_os("POSTHASTE_CONFIG").map(PathBuf::from)),
            ..posthaste_courier::process::Args::default()
        };
        courier(program.channel.name, (program.check)(args).await, findings);
    }
}

fn courier(
    name: &str,
    checked: std::result::Result<Checked, posthaste_ops::exit::ExitFailure>,
    findings: &mut Findings,
) {
    match checked {
        Ok(Checked::Works(to_set_up)) => {
            findings.say(FindingLevel::Good, name, "the provider responds and accepts the credentials");
            for line in to_set_up {
                findings.say(FindingLevel::Good, name, line);
            }
        }
        Ok(Checked::CannotTell(why)) => {
            findings.note(name, "can't tell whether the provider responds and accepts the credentials", why);
        }
        Err(failure) => {
            let kind = match failure.exit() {
                posthaste_ops::exit::Exit::Unavailable => Kind::Unreachable,
                _ => Kind::Refused,
            };
            findings.bad(name, &Failure::new(kind, crate::terminal::plain(&failure.line())));
        }
    }
}

fn for_dev(findings: &mut Findings) {
    match dev::find_server() {
        Ok(found) => {
            findings.say(
                FindingLevel::Good,
                "for dev",
                format!("{} {}", found.program.display(), found.version),
            );
        }
        // Only `dev` needs a server program here, so a missing one is a note.
        Err(failure) => {
            let mut lines = failure.lines().into_iter();
            let found = lines.next().unwrap_or_default();
            findings.note(
                "for dev",
                found,
                lines.map(|line| line.trim().to_owned()).collect::<Vec<_>>().join("\n"),
            );
        }
    }
    for dev::UsualPort { what, flag, port } in dev::usual_ports() {
        match dev::is_free(port) {
            true => findings.say(FindingLevel::Good, "for dev", format!("port {port} ({what}) is free")),
            false => findings.note(
                "for dev",
                format!("port {port} ({what}) is in use"),
                format!(
                    "Unless your own `posthaste dev` uses it, choose another one: posthaste dev {flag} 0"
                ),
            ),
        }
    }
}

fn print(findings: &[Finding], context: &Context) -> Result<()> {
    let output = context.output(Format::Table);
    let columns = [
        Column { title: "Level", cell: |finding: &Finding, _: &Reader<'_>| finding.level.word().to_owned() },
        Column { title: "What", cell: |finding, _| finding.what.clone() },
        Column { title: "Found", cell: |finding, _| finding.found.clone() },
        Column { title: "Remedy", cell: |finding, _| finding.remedy.clone().unwrap_or_default() },
    ];
    if output.format() != Format::Table {
        return output.list(&columns, findings);
    }
    let mut text = String::new();
    for finding in findings {
        text += &format!("{} {:<12} {}\n", finding.level.sign(), finding.what, finding.found);
        for line in finding.remedy.iter().flat_map(|remedy| remedy.lines()) {
            text += &format!("{:15}{line}\n", "");
        }
    }
    Ok(std::io::Write::write_all(&mut std::io::stdout().lock(), text.as_bytes())?)
}
