//! apalis beside Posthaste: `enqueue SOCKET COUNT FROM FIRST_MS SPAN_MS` puts tasks into the queue in batches, due at
//! once when FIRST_MS is 0; `work SOCKET URL AT_ONCE` sends each by a POST; `versions` names what is measured.

use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use apalis::layers::WorkerBuilderExt;
use apalis::prelude::*;
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use futures::stream;
use serde::{Deserialize, Serialize};

const BATCH: u64 = 1_000;
/// How often it looks for tasks.
const EVERY: Duration = Duration::from_millis(50);

/// One message.
#[derive(Deserialize, Serialize)]
struct Send {
    to: String,
    text: String,
}

async fn storage(socket: &str) -> Result<RedisStorage<Send>, BoxDynError> {
    let connection = apalis_redis::connect(format!("redis+unix://{socket}")).await?;
    // A result would stay for ever.
    let config = Config::default().queue("sms").batch_size(100).emit_events(false).persist_results(false);
    Ok(RedisStorage::new(connection).with_config(config))
}

async fn enqueue(socket: &str, [count, from, first, span]: [u64; 4]) -> Result<(), BoxDynError> {
    let mut storage = storage(socket).await?;
    let start = Instant::now();
    for at in (0..count).step_by(BATCH as usize) {
        let tasks = (at..(at + BATCH).min(count)).map(|n| {
            let send = Send { to: format!("+7916{:07}", from + n), text: "x".repeat(160) };
            let task = TaskBuilder::new(send);
            // It knows whole seconds only; none may be early.
            let task = if first == 0 {
                task
            } else {
                task.run_at_timestamp((first + n * span / count).div_ceil(1_000))
            };
            task.build()
        });
        storage.push_all(stream::iter(tasks.collect::<Vec<_>>())).await?;
    }
    let seconds = start.elapsed().as_secs_f64();
    if first == 0 {
        promote(&mut storage).await?;
    }
    println!("seconds {seconds}");
    Ok(())
}

/// Moves waiting tasks from the scheduled ones to those at hand, as a worker does. apalis-redis 1.0.0 schedules every task,
/// and its script moves all that are due in one call, which fails from about 8,000 on.
async fn promote(storage: &mut RedisStorage<Send>) -> Result<(), BoxDynError> {
    let config = storage.get_config();
    let (scheduled, active, signal) =
        (config.scheduled_jobs_set(), config.active_jobs_list(), config.signal_list());
    let script = redis::Script::new(
        "local ids = redis.call('ZRANGE', KEYS[1], 0, 999) \
         if #ids > 0 then \
           redis.call('RPUSH', KEYS[2], unpack(ids)) \
           redis.call('ZREM', KEYS[1], unpack(ids)) \
           redis.call('DEL', KEYS[3]) \
           redis.call('LPUSH', KEYS[3], 1) \
         end \
         return #ids",
    );
    let connection: &mut ConnectionManager = storage.get_connection();
    loop {
        let moved: u64 = script.key(&scheduled).key(&active).key(&signal).invoke_async(connection).await?;
        if moved == 0 {
            return Ok(());
        }
    }
}

/// Wakes the worker again and again. The interval of apalis 1.0.0 forgets to when it ends while tasks are fetched: then due
/// tasks waited for the next heartbeat, half a minute.
struct Ticks(tokio::time::Interval);

impl PollStrategy for Ticks {
    fn poll_drive(&mut self, cx: &mut Context<'_>, _: &PollSnapshot) -> Poll<Option<()>> {
        while self.0.poll_tick(cx).is_ready() {}
        Poll::Pending
    }
}

async fn work(socket: &str, url: &str, at_once: usize) -> Result<(), BoxDynError> {
    let client = reqwest::Client::builder().pool_max_idle_per_host(at_once).build()?;
    let url = url.to_owned();
    let send = move |Send { to, text }: Send| {
        let url = format!("{url}?to={}", &to[1..]);
        let request = client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("to=%2B{}&text={text}", &to[1..]));
        async move {
            request.send().await?.error_for_status()?.bytes().await?;
            Ok::<_, BoxDynError>(())
        }
    };
    let backend = storage(socket).await?.poll_with_strategy(Ticks(tokio::time::interval(EVERY)));
    println!("ready");
    WorkerBuilder::new("peer")
        .backend(backend)
        .concurrency(at_once)
        .parallelize(tokio::spawn)
        .build(send)
        .run()
        .await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let number = |word: &str| word.parse::<u64>();
    match words[..] {
        ["enqueue", socket, count, from, first, span] => {
            enqueue(socket, [number(count)?, number(from)?, number(first)?, number(span)?]).await
        }
        ["work", socket, url, at_once] => work(socket, url, at_once.parse()?).await,
        _ => {
            println!("apalis 1.0.0, apalis-redis 1.0.0, redis-rs 1.8.1, reqwest 0.12.28");
            Ok(())
        }
    }
}
