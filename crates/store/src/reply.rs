//! Frames of the client as plain values, without copying their bytes.

use fred::types::Resp3Frame;
use posthaste_protocol::Value;

/// Takes a frame apart.
pub(crate) fn value(frame: Resp3Frame) -> Value {
    match frame {
        Resp3Frame::BlobString { data, .. }
        | Resp3Frame::SimpleString { data, .. }
        | Resp3Frame::BigNumber { data, .. }
        | Resp3Frame::VerbatimString { data, .. }
        | Resp3Frame::ChunkedString(data) => Value::Bytes(data),
        Resp3Frame::Number { data, .. } => Value::Int(data),
        Resp3Frame::Array { data, .. } | Resp3Frame::Push { data, .. } => {
            Value::Array(data.into_iter().map(value).collect())
        }
        Resp3Frame::SimpleError { data, .. } => Value::Error(data.to_string()),
        Resp3Frame::BlobError { data, .. } => Value::Error(String::from_utf8_lossy(&data).into_owned()),
        Resp3Frame::Boolean { data, .. } => Value::Int(i64::from(data)),
        Resp3Frame::Double { data, .. } => Value::Bytes(data.to_string().into()),
        Resp3Frame::Map { data, .. } => {
            Value::Array(data.into_iter().flat_map(|(k, v)| [value(k), value(v)]).collect())
        }
        Resp3Frame::Set { data, .. } => Value::Array(data.into_iter().map(value).collect()),
        Resp3Frame::Null | Resp3Frame::Hello { .. } => Value::Nil,
    }
}
