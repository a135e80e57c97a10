//! `posthaste key`: API keys.

mod direct;
mod out_file;

use std::io::{self, Write};

use posthaste_client::{ApiResponse, Key, KeyRequest};
use posthaste_model::SenderId;
use posthaste_store::KeyScope;
use secrecy::ExposeSecret;

use self::out_file::OutFile;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::moment;
use crate::output::{Column, Format};
use crate::terminal::plain;

const EXAMPLES: &str = "\
Examples:
  posthaste key create --name timetable --scope write,read --sender timetable --out timetable.key
  posthaste key create --name office --scope write --sender office --mailbox office@example.org --display-name Office
  posthaste key create --name first --scope admin,any_sender --direct --config queue.toml --out admin.key
  posthaste key list
  posthaste key revoke 3f9a0c1b2d4e
";

/// The commands about keys.
#[derive(Debug, clap::Subcommand)]
#[command(before_help = EXAMPLES)]
pub(crate) enum Command {
    /// Create a key and print it, or write it to a file (--out). It is shown only once.
    Create(Box<CreateArgs>),
    /// List the keys, without their secrets.
    List,
    /// Revoke a key. It stops working within seconds.
    Revoke(RevokeArgs),
}

/// Arguments of `posthaste key create`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct CreateArgs {
    /// Name of the key. Two live keys may share a name, so that one can replace the other.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What the key may do: write, read, admin, any_sender (send as any sender).
    #[arg(long, value_name = "SCOPE", value_delimiter = ',', required = true)]
    scope: Vec<KeyScope>,
    /// The sender the key is bound to; required unless the key has any_sender.
    #[arg(long, value_name = "ID")]
    sender: Option<SenderId>,
    /// The role the key is bound to.
    #[arg(long, value_name = "ROLE")]
    role: Option<String>,
    /// A mailbox its orders may use in From and Reply-To: name@example.org, *@example.org for a whole domain, or "*" for any.
    /// May be repeated. Without it, orders are sent from the installation's own address.
    #[arg(long, value_name = "MAILBOX")]
    mailbox: Vec<String>,
    /// A display name its orders may use, or "*" for any. May be repeated.
    #[arg(long, value_name = "NAME")]
    display_name: Vec<String>,
    /// When the key expires: "+90d", "2027-01-01 00:00".
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// Write the key to this new file, which only you can read (mode 0600), instead of standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<std::path::PathBuf>,
    /// Create the key directly in Redis, without the queue: for the first key of an installation.
    #[arg(long)]
    direct: bool,
    /// With --direct: the queue's settings file; its section `redis` is used.
    #[arg(long, value_name = "FILE", requires = "direct")]
    config: Option<std::path::PathBuf>,
    /// With --direct: address of Redis. For a password, set POSTHASTE_REDIS__PASSWORD_FILE.
    #[arg(long, value_name = "URL", requires = "direct")]
    redis: Option<String>,
}

/// Arguments of `posthaste key revoke`.
#[derive(Debug, clap::Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct RevokeArgs {
    /// Id of the key: the part between ph_ and the next _.
    id: posthaste_store::KeyId,
}

/// Runs a command.
///
/// # Errors
/// The queue or the store does not respond, or rejects the request.
pub(crate) async fn run(command: Command, context: &Context) -> Result<()> {
    match command {
        Command::Create(args) => create(*args, context).await,
        Command::List => list(context).await,
        Command::Revoke(args) => revoke(&args, context).await,
    }
}

async fn create(args: CreateArgs, context: &Context) -> Result<()> {
    let now = moment::now();
    let expires = args.expires.as_deref().map(|text| moment::read(text, &now)).transpose();
    let expires = expires.map_err(|why| Failure::usage(format!("--expires: {why}")))?;
    // Before the key is created: its secret must not get lost because the file can't be written.
    let out = args.out.as_deref().map(OutFile::create).transpose()?;
    if args.direct {
        return direct::create(&args, expires, out, context).await;
    }
    let request = KeyRequest {
        name: args.name,
        scopes: args.scope.iter().map(|scope| scope.word().to_owned()).collect(),
        sender_id: args.sender,
        role: args.role,
        mailboxes: args.mailbox,
        display_names: args.display_name,
        expires_at: expires.map(|moment| moment.to_string()),
    };
    let (client, _) = context.client()?;
    let made = client.create_key(&request).await?;
    show_key(context, out, &made, &made.seen.id, made.seen.token.expose_secret())
}

/// Hands over a new key: the key alone in the file or on standard output, a note on standard error.
fn show_key(
    context: &Context,
    out: Option<OutFile>,
    whole: &impl serde::Serialize,
    id: &str,
    key: &str,
) -> Result<()> {
    let id = plain(id);
    if let Some(out) = out {
        let path = out.keep(key).map_err(|failure| {
            failure.remedy(format!("The secret of key {id} is lost. Revoke it: posthaste key revoke {id}"))
        })?;
        context.terminal.note(&format!("Key {id} created and written to {}.", path.display()));
        return Ok(());
    }
    match context.format() {
        Some(Format::Json | Format::Ndjson) => context.output(Format::Json).json(whole)?,
        _ => writeln!(io::stdout().lock(), "{key}")?,
    }
    context.terminal.note(&format!(
        "Key {id} created. It is shown only this once; keep it in a file that only you can read (--out FILE writes one).",
    ));
    Ok(())
}

async fn list(context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    let page = client.keys().await?;
    let columns = [
        Column { title: "Id", cell: |key: &ApiResponse<Key>, _| key.seen.id.clone() },
        Column { title: "Name", cell: |key, _| key.seen.name.clone() },
        Column { title: "Scopes", cell: |key, _| key.seen.scopes.join(",") },
        Column { title: "Sender id", cell: |key, _| key.seen.sender_id.clone().unwrap_or_default() },
        Column { title: "Mailboxes", cell: |key, _| key.seen.mailboxes.join(",") },
        Column { title: "Expires at", cell: |key, reader| reader.moment(key.seen.expires_at.as_deref()) },
        Column { title: "Last used at", cell: |key, reader| reader.moment(key.seen.last_used_at.as_deref()) },
        Column { title: "Revoked at", cell: |key, reader| reader.moment(key.seen.revoked_at.as_deref()) },
    ];
    context.output(Format::Table).list(&columns, &page.items)
}

async fn revoke(args: &RevokeArgs, context: &Context) -> Result<()> {
    let (client, _) = context.client()?;
    context.terminal.confirm(&format!("Revoke the key {}? Requests with it will be rejected.", args.id))?;
    client.revoke_key(&args.id.to_string()).await?;
    context.terminal.note("Revoked.");
    Ok(())
}
