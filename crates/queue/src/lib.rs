//! The queue service: takes orders over HTTP and tells their history.
