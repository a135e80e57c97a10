//! A fake generic SMS gateway, in the two shapes most real ones have.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET`, `POST /sys/send.php` | a form like SMSC's: `login` and `psw` or `apikey`, `phones` (comma-separated, at most 100), `mes`, `fmt=3`; answers `{"id":1,"cnt":1}` or `{"error":"…","error_code":7}`, both with status 200 |
//! | `GET`, `POST /sys/balance.php` | `{"balance":"100.00"}`: a way to check credentials |
//! | `POST /v1/messages` | JSON: `{"to":"+…","from":"…","text":"…"}` with a Bearer token; 201 with `{"id":"1","status":"queued"}`, or 4xx with `{"error":{"code":"invalid_number","message":"…"}}` |
//! | `GET /v1/balance` | the same as above |

mod magic;
mod server;

pub use self::magic::MAGIC_NUMBERS;
pub use self::server::{FakeGateway, GatewayServer, Settings};
pub use crate::fake_provider::{
    Bounds, FakeServerError, InvalidMessageFault, JournalEntry, MOST_FAULTS, Magic, MessageAction,
    MessageFault, RequestFate,
};

#[cfg(test)]
mod tests;
