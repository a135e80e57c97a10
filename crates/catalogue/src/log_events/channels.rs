//! Events about channels: providers, bots, relays, and what comes back from them.

use super::{COURIERS, LogEvent, Program, error, info, warn};

const EMAIL: &[Program] = &[Program::Email];
const SMS: &[Program] = &[Program::Sms];
const SMS_AND_VK: &[Program] = &[Program::Sms, Program::Vk];
const TELEGRAM: &[Program] = &[Program::Telegram];

/// In the order of their names.
pub(super) const EVENTS: &[LogEvent] = &[
    warn(
        TELEGRAM,
        "bot.paused",
        "Telegram's rate limit was reached, and a bot pauses for `seconds`.",
        "Its messages wait.",
        "Nothing if it is rare. Otherwise lower telegram.messages_per_second, or use more bots.",
    ),
    error(
        TELEGRAM,
        "bot.stopped",
        "Telegram refuses the token of a bot while sending; `bot` is its number.",
        "The other bots go on; this one is tried again every 30 s.",
        "Get a valid token from @BotFather, put it in the place of the old one, and restart the courier.",
    ),
    error(
        TELEGRAM,
        "bot.unusable",
        "The check of a bot failed; `why` says how.",
        "The other bots go on.",
        "Correct its token, and restart the courier.",
    ),
    warn(
        COURIERS,
        "callback.rejected",
        "Requests to a callback address failed authentication, `times` since the last such line (at most one a minute).",
        "They were ignored. If they are the provider's, receipts and opt-outs are missing.",
        "Check the setting that `hint` names; if it is right, the requests are forged.",
    ),
    warn(
        COURIERS,
        "channel.breaker_opened",
        "The provider failed courier.breaker_after times in a row.",
        "Sending pauses for up to 15 s and is then tried again.",
        "Check the provider's status page, and the network to it.",
    ),
    warn(
        SMS_AND_VK,
        "channel.paused",
        "The provider's rate limit was reached, and the channel pauses for `seconds`.",
        "Messages wait.",
        "Nothing if it is rare. Otherwise lower vk.requests_per_second or sms.segments_per_second, or have the provider \
         raise its limit.",
    ),
    info(
        COURIERS,
        "channel.resumed",
        "A stopped channel sends again. With `checked` false only the next send shows whether it works.",
    ),
    warn(
        COURIERS,
        "channel.still_stopped",
        "The check of a stopped channel failed; it is repeated every courier.check_every.",
        "Messages of the channel wait.",
        "Follow `why`, as for `channel.stopped`.",
    ),
    error(
        COURIERS,
        "channel.stopped",
        "The provider refuses everything of this channel: credentials, account, sender, or too many rejections by policy.",
        "Messages of the channel wait; none fails because of it.",
        "Follow `why`. The courier notices by itself when the provider accepts messages again.",
    ),
    warn(
        EMAIL,
        "email.sender_missing",
        "email.from is not set.",
        "Relays will reject the messages.",
        "Set email.from, or let keys name the mailboxes of their orders.",
    ),
    warn(
        &[Program::Email, Program::Sms, Program::Vk],
        "feedback.not_stored",
        "A receipt, bounce, opt-out or click could not be stored; `source` says where it came from.",
        "The sender was answered with an error and sends it again; a person who clicked was asked to try again.",
        "See the lines about the database (`redis.…`).",
    ),
    error(
        &[Program::Sms, Program::Telegram, Program::Vk],
        "message.rejected",
        "The provider rejected a message for a reason that only an operator can remove; `code` is the provider's. \
         Logged once per order.",
        "The message failed; others of the order may fail likewise.",
        "Look up `code` at the provider; correct the text of the order, or the account's settings.",
    ),
    error(
        SMS,
        "message.undelivered",
        "The provider accepted a message and then could not deliver it, for a reason that only an operator can remove.",
        "The message failed.",
        "Look up `reason`, and the order's recipients (`posthaste order deliveries`); correct the account's settings.",
    ),
    warn(
        SMS,
        "opt_in.reply_hidden",
        "Twilio does not show a person's reply to these credentials.",
        "Its time is not known, so a START cannot delete a suppression; STOP works.",
        "Allow the API key to read messages, or use the account's own token.",
    ),
    warn(
        SMS,
        "opt_in.time_unknown",
        "Twilio did not say when a person sent START.",
        "Twilio was answered with an error and sends it again.",
        "Nothing if it is rare. Otherwise check Twilio's status page.",
    ),
    error(
        TELEGRAM,
        "order.content_refused",
        "Telegram refused the content of an order many times in a row.",
        "The order's other messages fail without being sent.",
        "Correct the text, and send it as a new order.",
    ),
    warn(
        COURIERS,
        "provider.check_failed",
        "The provider could not be reached at startup, or refuses the credentials.",
        "The courier runs. If the credentials are refused, the channel stops with its first message.",
        "Follow `why`; `posthaste doctor` repeats the check.",
    ),
    info(COURIERS, "provider.check_passed", "The provider accepts the credentials."),
    info(
        COURIERS,
        "provider.check_skipped",
        "Only a send can show whether the provider accepts the credentials; `why` says why.",
    ),
    LogEvent {
        remedy: "Do what `step` says, once.",
        ..info(
            SMS,
            "provider.setup_needed",
            "A setting at the provider that this program cannot make itself; logged at each start.",
        )
    },
    info(SMS, "recipient.opted_in", "A person sent START; `deleted` says whether that ended a suppression."),
    info(SMS, "recipient.opted_out", "A person sent STOP and gets no more messages on this channel."),
    error(
        EMAIL,
        "relay.command_rejected",
        "A relay rejected a command as invalid.",
        "The message is treated as its reply says.",
        "This is probably a bug: report it with `reply` and `stage`, and with the product and version of the relay.",
    ),
    warn(
        EMAIL,
        "relay.dsn_rejected",
        "A relay offers delivery status notifications (DSN) but rejects their parameters.",
        "Messages go over it without them; bounces may be harder to parse.",
        "Correct the relay's settings for DSN.",
    ),
    warn(
        EMAIL,
        "relay.failed",
        "A message could not be handed to a relay.",
        "The next relay is tried, if there is one; otherwise the message is tried again later.",
        "Follow `why`: check the relay, its certificate, and smtp.username and smtp.password.",
    ),
    warn(
        EMAIL,
        "relay.paused",
        "A relay accepts no messages for now.",
        "It gets none for `seconds`; other relays are used.",
        "Nothing if it is rare. Otherwise read `reply` in the relay's log, and ask its operator about limits.",
    ),
    warn(
        TELEGRAM,
        "updates.failed",
        "A bot's updates could not be received.",
        "They are requested again; sending goes on. Meanwhile nobody who blocks the bot is noticed.",
        "Follow `why`, unless `updates.resumed` comes soon.",
    ),
    error(
        TELEGRAM,
        "updates.paused",
        "Another program requests the bot's updates, or has set a webhook.",
        "Updates are left to it for `seconds`; sending goes on. Nobody who blocks the bot is noticed.",
        "Stop the other program or delete the webhook; or set telegram.updates = false.",
    ),
    info(TELEGRAM, "updates.resumed", "A bot's updates are received again."),
];
