//! Converts frames of the client to plain values, without copying their bytes.

use fred::types::Resp3Frame;
use posthaste_protocol::ReplyValue;

/// Converts a frame.
pub(crate) fn value(frame: Resp3Frame) -> ReplyValue {
    match frame {
        Resp3Frame::BlobString { data, .. }
        | Resp3Frame::SimpleString { data, .. }
        | Resp3Frame::BigNumber { data, .. }
        | Resp3Frame::VerbatimString { data, .. }
        | Resp3Frame::ChunkedString(data) => ReplyValue::Bytes(data),
        Resp3Frame::Number { data, .. } => ReplyValue::Int(data),
        Resp3Frame::Array { data, .. } | Resp3Frame::Push { data, .. } => {
            ReplyValue::Array(data.into_iter().map(value).collect())
        }
        Resp3Frame::SimpleError { data, .. } => ReplyValue::Error(data.to_string()),
        Resp3Frame::BlobError { data, .. } => ReplyValue::Error(String::from_utf8_lossy(&data).into_owned()),
        Resp3Frame::Boolean { data, .. } => ReplyValue::Int(i64::from(data)),
        Resp3Frame::Double { data, .. } => ReplyValue::Bytes(data.to_string().into()),
        Resp3Frame::Map { data, .. } => {
            ReplyValue::Array(data.into_iter().flat_map(|(k, v)| [value(k), value(v)]).collect())
        }
        Resp3Frame::Set { data, .. } => ReplyValue::Array(data.into_iter().map(value).collect()),
        Resp3Frame::Null | Resp3Frame::Hello { .. } => ReplyValue::Nil,
    }
}
