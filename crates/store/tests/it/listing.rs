//! Lists of orders are complete and in order, page by page, whatever is removed meanwhile.

use posthaste_model::{OrderId, UnixMs};
use posthaste_rig::PrivateServer;
use posthaste_store::{OrderCursor, OrderFilter, OrderSummary, Role, Settings, Store};

use crate::house::*;

/// Orders made by hand, each accepted at a chosen moment.
struct Book {
    server: PrivateServer,
    store: Store,
    head: Vec<u8>,
}

impl Book {
    async fn new(partitions: u16) -> Self {
        let server = server();
        let settings = Settings { partitions, ..settings(&server.url()) };
        let (store, _) = Store::connect(settings, Role::Queue).await.unwrap();
        let first: OrderId = "first:1".parse().unwrap();
        store.accept(&order(first.clone(), 1)).await.unwrap();
        let history = format!("history:{{{}}}:first:1", store.partition_of(&first));
        let head = server.command(&["HGET", &history, "h"]).unwrap().bytes().unwrap().to_vec();
        let book = Self { server, store, head };
        book.command(&["DEL", &history]);
        book
    }

    fn command<A: AsRef<[u8]>>(&self, words: &[A]) {
        let reply = self.server.command(words).unwrap();
        assert!(reply.error().is_none(), "{reply:?}");
    }

    fn key(&self, family: &str, order_id: &str, rest: &str) -> String {
        format!("{family}:{{{}}}{rest}", self.store.partition_of(&order_id.parse().unwrap()))
    }

    fn accept(&self, order_id: &str, at: u64) {
        let mut head = self.head.clone();
        head[4..10].copy_from_slice(&at.to_be_bytes()[2..]);
        let history = self.key("history", order_id, &format!(":{order_id}"));
        self.command(&[b"HSET".as_slice(), history.as_bytes(), b"h", &head]);
        self.note(order_id);
    }

    /// Adds an order id only to the lists, as if its order had been purged.
    fn note(&self, order_id: &str) {
        let sender = order_id.split(':').next().unwrap();
        self.command(&["RPUSH", &self.key("orders", order_id, ""), order_id]);
        self.command(&["RPUSH", &self.key("sender", order_id, &format!(":{sender}")), order_id]);
    }

    /// Removes an order; its entries in the lists too if they are the oldest.
    fn retire(&self, order_id: &str) {
        self.command(&["DEL", &self.key("history", order_id, &format!(":{order_id}"))]);
        let sender = order_id.split(':').next().unwrap();
        for list in [self.key("orders", order_id, ""), self.key("sender", order_id, &format!(":{sender}"))] {
            let first = self.server.command(&["LINDEX", &list, "0"]).unwrap();
            if first.bytes() == Some(order_id.as_bytes()) {
                self.command(&["LPOP", &list]);
            }
        }
    }

    async fn page(
        &self,
        filter: &OrderFilter,
        cursor: Option<&OrderCursor>,
        limit: usize,
    ) -> (Vec<String>, Option<OrderCursor>) {
        let page = self.store.list_orders(filter, cursor, limit, |_, _| true).await.unwrap().unwrap();
        let next = page.next.map(|next| next.to_string().parse().unwrap());
        (page.orders.iter().map(|(order_id, _)| order_id.to_string()).collect(), next)
    }

    /// All pages; `between` is called after each and may change anything.
    async fn pages(
        &self,
        filter: &OrderFilter,
        limit: usize,
        mut between: impl FnMut(&[String]),
    ) -> Vec<String> {
        let (mut all, mut cursor) = (vec![], None);
        loop {
            let (page, next) = self.page(filter, cursor.as_ref(), limit).await;
            assert!(page.len() <= limit);
            all.extend(page);
            assert!(next.is_none() || next != cursor, "no progress");
            cursor = next;
            if cursor.is_none() {
                return all;
            }
            between(&all);
        }
    }

    async fn all(&self, filter: &OrderFilter, limit: usize) -> Vec<String> {
        self.pages(filter, limit, |_| ()).await
    }
}

fn of(sender: &str) -> OrderFilter {
    OrderFilter { sender: Some(sender.parse().unwrap()), ..OrderFilter::default() }
}

fn between(from: u64, to: u64) -> OrderFilter {
    OrderFilter { sender: None, from: Some(UnixMs(from)), to: Some(UnixMs(to)) }
}

/// Orders 1 to `count` of two senders, each accepted at ten times its number; newest first.
fn fill(book: &Book, count: u64) -> Vec<String> {
    let names = (1..=count).map(|n| (format!("u{}:{n}", n % 2), n));
    let mut reported: Vec<String> = names
        .map(|(name, n)| {
            book.accept(&name, n * 10);
            name
        })
        .collect();
    reported.reverse();
    reported
}

#[tokio::test]
async fn pages_of_any_size_return_every_order_once_newest_first() {
    for partitions in [1, 3, 40] {
        let book = Book::new(partitions).await;
        let reported = fill(&book, 60);
        let odd: Vec<String> = reported.iter().filter(|name| name.starts_with("u1")).cloned().collect();
        for limit in [1, 7, 60, 500, 0] {
            assert_eq!(
                book.all(&OrderFilter::default(), limit.max(1)).await,
                reported,
                "{partitions} {limit}"
            );
            assert_eq!(book.all(&of("u1"), limit.max(1)).await, odd, "{partitions} {limit}");
        }
        assert_eq!(book.all(&of("u3"), 10).await, [""; 0]);
    }
}

#[tokio::test]
async fn orders_of_one_moment_are_returned_once() {
    let book = Book::new(3).await;
    let mut names: Vec<String> = (0..40).map(|n| format!("u1:{n}")).collect();
    names.iter().for_each(|name| book.accept(name, 77));
    let mut reported = book.all(&OrderFilter::default(), 7).await;
    reported.sort();
    names.sort();
    assert_eq!(reported, names);
}

#[tokio::test]
async fn a_span_of_time_can_be_listed() {
    for partitions in [1, 3] {
        let book = Book::new(partitions).await;
        let reported = fill(&book, 80);
        // From the 80th, accepted at 800, down.
        for (filter, from, to) in [
            (between(200, 500), 31, 61),
            (between(0, 205), 60, 80),
            (between(795, 10_000), 0, 1),
            (between(801, 10_000), 0, 0),
            (between(0, 10), 80, 80),
            (OrderFilter { to: Some(UnixMs(200)), ..OrderFilter::default() }, 61, 80),
            (OrderFilter { from: Some(UnixMs(200)), ..OrderFilter::default() }, 0, 61),
        ] {
            assert_eq!(book.all(&filter, 9).await, reported[from..to], "{filter:?}");
        }
    }
}

#[tokio::test]
async fn orders_accepted_and_removed_meanwhile_do_not_disturb_pages() {
    for partitions in [1, 3] {
        let book = Book::new(partitions).await;
        let reported = fill(&book, 100);
        let mut new = 1_000;
        let mut oldest = reported.clone();
        let everything = OrderFilter::default();
        let pages = book.pages(&everything, 10, |so_far| {
            new += 1;
            book.accept(&format!("u1:{new}"), new * 10);
            // The oldest two are removed, as at the end of their retention.
            for _ in 0..2 {
                if oldest.len() > so_far.len() {
                    book.retire(&oldest.pop().unwrap());
                }
            }
        });
        let pages = pages.await;
        assert_eq!(pages, reported[..pages.len()]);
        assert!((80..100).contains(&pages.len()), "{}", pages.len());
    }
}

#[tokio::test]
async fn more_orders_may_be_removed_than_a_page_reads() {
    let book = Book::new(1).await;
    let reported = fill(&book, 100);
    let (first, cursor) = book.page(&OrderFilter::default(), None, 3).await;
    assert_eq!(first, reported[..3]);
    // All but ten are removed; the last one returned stays.
    reported[10..].iter().rev().for_each(|name| book.retire(name));
    let (second, cursor) = book.page(&OrderFilter::default(), cursor.as_ref(), 3).await;
    assert_eq!(second, reported[3..6]);
    // Now the last one returned is removed too, with all that are older.
    reported[..10].iter().rev().for_each(|name| book.retire(name));
    let (third, cursor) = book.page(&OrderFilter::default(), cursor.as_ref(), 3).await;
    assert_eq!((third, cursor), (vec![], None));
}

#[tokio::test]
async fn a_long_stretch_of_removed_orders_takes_more_than_one_page() {
    let book = Book::new(2).await;
    // An order that is due in a year keeps the names behind it in the lists.
    book.accept("u1:1", 10);
    for n in 2..12_000_u64 {
        book.note(&format!("u1:{n}"));
    }
    book.accept("u1:12000", 120_000);
    let pages = std::cell::Cell::new(0);
    let reported = book.pages(&OrderFilter::default(), 50, |_| pages.set(pages.get() + 1)).await;
    assert_eq!(reported, ["u1:12000", "u1:1"]);
    assert!((2..8).contains(&pages.get()), "{}", pages.get());
    assert_eq!(book.all(&between(5, 50), 50).await, ["u1:1"]);
}

#[tokio::test]
async fn only_selected_orders_count() {
    let book = Book::new(2).await;
    let reported = fill(&book, 30);
    let third = |order_id: &OrderId, _: &OrderSummary| order_id.as_str().ends_with('3');
    let page = book.store.list_orders(&OrderFilter::default(), None, 2, third).await.unwrap().unwrap();
    let names: Vec<_> = page.orders.iter().map(|(order_id, _)| order_id.to_string()).collect();
    assert_eq!(names, [reported[7].clone(), reported[17].clone()]);
    let rest = book.store.list_orders(&OrderFilter::default(), page.next.as_ref(), 2, third).await.unwrap();
    assert_eq!(rest.unwrap().orders.len(), 1);
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let book = Book::new(1).await;
    fill(&book, 9);
    let (_, cursor) = book.page(&of("u1"), None, 2).await;
    for other in [OrderFilter::default(), of("u0"), between(0, 50)] {
        assert!(book.store.list_orders(&other, cursor.as_ref(), 2, |_, _| true).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn an_unreadable_record_does_not_hide_others() {
    let book = Book::new(1).await;
    let reported = fill(&book, 5);
    book.command(&["HSET", &format!("history:{{0}}:{}", reported[1]), "h", "nonsense"]);
    book.command(&["HSET", &format!("history:{{0}}:{}", reported[2]), "o", "nonsense"]);
    book.command(&["DEL", &format!("history:{{0}}:{}", reported[3])]);
    book.command(&["SET", &format!("history:{{0}}:{}", reported[3]), "x"]);
    assert_eq!(book.all(&OrderFilter::default(), 2).await, [reported[0].clone(), reported[4].clone()]);
}
