//! The network delivers late second copies of claims, begins and settles, and loses requests and replies: deliveries
//! are still sent once.

use anyhow::ensure;
use futures::future::try_join_all;
use posthaste_rig::eventually_async;
use posthaste_rig::proxy::{LateCopy, ProxiedCommand, Proxy, Traffic};
use posthaste_tests::{CourierOptions, OrderSpec, Scene};

/// Which script a call runs, recognized by the keys that only it declares.
fn is_call(command: &ProxiedCommand, script: &str) -> bool {
    let keys = |there: &[&str], not_there: &[&str]| {
        there.iter().all(|key| command.contains(key)) && !not_there.iter().any(|key| command.contains(key))
    };
    command.is("EVALSHA")
        && match script {
            "claim" => keys(&["request:{0}", "due:{0}:bulk"], &[]),
            "begin" => keys(&["token:{0}"], &[]),
            // Release has the same keys, and no reports.
            "settle" => keys(&["lease:{0}", "unresolved:{0}", "crashes:{0}"], &["request:{0}", "parked:{0}"]),
            _ => true,
        }
}

async fn work(scene: &mut Scene) -> anyhow::Result<()> {
    scene.accept_all((0..150).map(|n| OrderSpec::of(1).due_in(n * 4))).await?;
    scene
        .accept_all([OrderSpec::of(700), OrderSpec::of(30).due_in(100), OrderSpec::of(520).due_in(400)])
        .await
}

async fn copies(script: &'static str, after: u64) -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let proxy = Proxy::unix(scene.server.endpoint(), Traffic::Resp)?;
    let copy = LateCopy::of(move |command| is_call(command, script)).times(100_000);
    proxy.copy_late(copy.after(after).counting(|command| command.is("EVALSHA")));
    let _courier =
        scene.courier(&CourierOptions::default().with("misbehaviour", "slow:2").at(proxy.url()))?;
    work(&mut scene).await?;
    let balance = scene.settle_up().await?;
    let copies = proxy.report().copies;
    ensure!(copies.len() >= 10, "only {} copies of {script} after {after}", copies.len());
    for copy in &copies {
        let reply = copy.reply.as_ref().map_err(|error| anyhow::anyhow!("{error}"))?;
        // The copy of a call that was repeated because the server did not know its script is as unknown to the server.
        let known = reply.error().is_none_or(|error| error.starts_with("NOSCRIPT"));
        ensure!(known, "a copy of {script} was answered {reply:?}");
    }
    balance.all_sent_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn late_second_copies_change_nothing() -> anyhow::Result<()> {
    let mut cases = Vec::new();
    for script in ["claim", "begin", "settle"] {
        cases.extend([0, 1, 7].map(|after| Box::pin(copies(script, after))));
    }
    try_join_all(cases).await.map(drop)
}

#[derive(Clone, Copy)]
enum Lost {
    Request,
    Reply,
}

async fn losses(script: &'static str, what: Lost) -> anyhow::Result<()> {
    let mut scene = Scene::open().await?;
    let proxy = Proxy::unix(scene.server.endpoint(), Traffic::Resp)?;
    let options = CourierOptions::default().with("misbehaviour", "slow:2").with("lease-ms", 6_000);
    let courier = scene.courier(&options.at(proxy.url()))?;
    work(&mut scene).await?;
    for losses in 1..=8 {
        match what {
            Lost::Request => proxy.drop_requests_of(1, move |command| is_call(command, script)),
            Lost::Reply => proxy.drop_replies_of(1, move |command| is_call(command, script)),
        }
        scene.accept_all((0..20).map(|_| OrderSpec::of(1)).chain([OrderSpec::of(60)])).await?;
        eventually_async("something is lost", async || match proxy.report() {
            report if report.dropped_requests + report.dropped_replies >= losses => Ok(()),
            report => Err(format!("{report:?}")),
        })
        .await;
    }
    let balance = scene.settle_up().await?;
    ensure!(courier.exit_status()?.is_none());
    balance.all_sent_once()
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_requests_and_replies_are_made_good() -> anyhow::Result<()> {
    let mut cases = Vec::new();
    for script in ["claim", "begin", "settle", "any"] {
        cases.extend([Lost::Request, Lost::Reply].map(|what| Box::pin(losses(script, what))));
    }
    try_join_all(cases).await.map(drop)
}
