//! A stand-in for a plain gateway of SMS, in the two shapes most of them have.
//!
//! | request | what it does |
//! | --- | --- |
//! | `GET`, `POST /sys/send.php` | a form as SMSC takes it: `login` and `psw` or `apikey`, `phones` (commas between, at most 100), `mes`, `fmt=3`; answers `{"id":1,"cnt":1}` or `{"error":"…","error_code":7}`, both with status 200 |
//! | `GET`, `POST /sys/balance.php` | `{"balance":"100.00"}`: a way to check credentials |
//! | `POST /v1/messages` | JSON: `{"to":"+…","from":"…","text":"…"}` with a token as Bearer; 201 with `{"id":"1","status":"queued"}`, or 4xx with `{"error":{"code":"invalid_number","message":"…"}}` |
//! | `GET /v1/balance` | the same as above |

mod magic;
mod server;

pub use self::magic::MAGIC_NUMBERS;
pub use self::server::{Gateway, Server, Settings};
pub use crate::standin::{Action, Bounds, Fate, Fault, Invalid, MOST_FAULTS, Magic, Request, StartError};

#[cfg(test)]
mod tests;
