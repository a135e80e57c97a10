//! The memory cost of a long upload: for detecting repeated recipients and addresses, and for a few parcels.

use std::fmt::Write;

use crate::client::{ask, soon};
use crate::process::{Process, key};

const RECIPIENTS: usize = 150_000;
/// Peak memory above what the service needs anyway: about 100 bytes per recipient.
const MOST_BYTES: u64 = 15_000_000;

/// The peak memory of a process, in bytes.
fn peak(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("its peak");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1_024
}

pub(crate) fn costs_little() {
    super::run(async {
        let redis = super::server();
        let service = Process::start(&redis, &[]);
        let (address, _) = service.ready().await;
        let key = key(&redis).await;
        let upload = async |recipients: usize| {
            let mut body = "{\"sender\":{\"id\":\"u1\"},\"text\":\"Hello\"}\n".to_owned();
            for n in 0..recipients {
                writeln!(body, "{{\"id\":\"r{n}\",\"contacts\":{{\"email\":[\"r{n}@example.org\"]}}}}")
                    .expect("room");
            }
            let requested =
                ask("POST", "/v1/orders").key(&key).header("content-type", "application/x-ndjson");
            let answer = soon("an answer", requested.body(body.as_bytes()).send(address)).await;
            assert_eq!(answer.status, 200, "{answer:?}");
            assert_eq!(answer.json()["recipients"]["delivery_counts"]["email"], recipients);
        };
        upload(5_000).await;
        let before = peak(service.child.id());
        let begun = std::time::Instant::now();
        upload(RECIPIENTS).await;
        let cost = peak(service.child.id()) - before;
        assert!(cost < MOST_BYTES, "{RECIPIENTS} recipients cost {cost} bytes, {:?}", begun.elapsed());
    });
}
