//! Who an order may be sent as: the mailboxes and names its key is bound to.

use crate::auth::Caller;
use crate::problem::{Code, Problem, Violation};

/// Refuses a mailbox or display name that the key may not use; an empty one counts as none.
///
/// # Errors
/// 403 `sender_not_allowed`, with the places.
pub(super) fn check(caller: &Caller, name: &str, mailbox: &str) -> Result<(), Problem> {
    let mut errors = Vec::new();
    if !mailbox.is_empty() && !caller.send_as.allows_mailbox(mailbox) {
        let rule =
            "the key may not send from this mailbox; leave it out to use the installation's own address";
        errors.push(Violation::at("/sender/email", "not_allowed", rule));
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
