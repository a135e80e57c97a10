//! Which signatures are made on other threads, and that they are the same.

use super::*;
use crate::settings::DkimSettings;

fn signer(key: &str) -> Signer {
    let settings = DkimSettings {
        domain: "example.org".to_owned(),
        selector: "s".to_owned(),
        key: key.into(),
        second_selector: String::new(),
        second_key: "".into(),
    };
    Signer::new(&settings).expect("settings").expect("a signer")
}

fn draft() -> Draft {
    let order = "u1:1700000000000000001".parse().expect("an order id");
    Draft {
        text: b"From: a@example.org\r\nSubject: x\r\n\r\nHello\r\n".to_vec(),
        to: "b@mail.example".parse().expect("an address"),
        identity: MessageIds::new(&order, 1, 1),
        signed_at: 1_700_000_000,
    }
}

#[tokio::test]
async fn rsa_waits_for_its_turn_and_ed25519_does_not() {
    let rsa = signer(include_str!("../tests/keys/rsa-2048-pkcs8.pem"));
    let ed25519 = signer("nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=");
    let threads = SigningThreads::new();
    for signer in [&rsa, &ed25519] {
        let beside = threads.sign(draft(), signer).await.expect("a signature");
        let here = draft().signed(signer).expect("a signature");
        assert!(beside.text == here.text && beside.text.starts_with(b"DKIM-Signature: v=1; a="));
        assert!(beside.text.ends_with(b"\r\n\r\nHello\r\n"));
    }
    // While others hold every turn, nothing that is slow is signed on the worker.
    let all = u32::try_from(threads.0.available_permits()).expect("a number");
    let held = Arc::clone(&threads.0).acquire_many_owned(all).await.expect("all turns");
    let mut waiting = in_a_task(threads.clone(), rsa.clone());
    assert!(threads.sign(draft(), &ed25519).await.is_ok());
    assert!(!waiting.is_finished());
    drop(held);
    assert!((&mut waiting).await.expect("no panic"), "signed after its turn came");
    assert_eq!(threads.0.available_permits(), all as usize, "turns are given back");
}

/// A message that is being signed in a task of its own.
fn in_a_task(threads: SigningThreads, signer: Signer) -> tokio::task::JoinHandle<bool> {
    tokio::spawn(async move { threads.sign(draft(), &signer).await.is_ok() })
}
