//! Who an order may be sent as: the mailboxes and names its key is bound to.

use posthaste_model::Content;

use crate::auth::Caller;
use crate::problem::{Code, Problem, Violation};

/// Refuses mailboxes and a display name that the key may not use; empty ones count as none.
///
/// # Errors
/// 403 `sender_not_allowed`, with the places.
pub(super) fn check(caller: &Caller, content: &Content) -> Result<(), Problem> {
    let may_use = |mailbox: &str| mailbox.is_empty() || caller.send_as.allows_mailbox(mailbox);
    let name = content.sender_name.expose();
    let mut errors = Vec::new();
    if !may_use(content.from_email.expose()) {
        let rule =
            "the key may not send from this mailbox; leave it out to use the installation's own address";
        errors.push(Violation::at("/sender/from_email", "not_allowed", rule));
    }
    if !may_use(content.reply_to.expose()) {
        let rule = "the key may not direct replies to this mailbox; leave it out to use the installation's own address";
        errors.push(Violation::at("/sender/reply_to", "not_allowed", rule));
    }
    if !name.is_empty() && !caller.send_as.allows_name(name) {
        errors.push(Violation::at("/sender/name", "not_allowed", "the key may not send under this name"));
    }
    if errors.is_empty() {
        return Ok(());
    }
    let detail = "the key is bound to other mailboxes or names (`mailboxes` and `display_names` of the key)";
    Err(Problem::new(Code::SenderNotAllowed, detail).with_errors(errors))
}
