//! Cache of recently read contents of big orders: a courier reads many parcels of one order.

use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use posthaste_model::{Content, OrderId};

/// Most bytes kept, in packed form.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The least recently used content is dropped first.
#[derive(Debug)]
pub(crate) struct ContentCache(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    by_order: LruCache<OrderId, (Arc<Content>, usize)>,
    bytes: usize,
}

impl ContentCache {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Kept { by_order: LruCache::unbounded(), bytes: 0 }))
    }

    pub(crate) fn get(&self, order_id: &OrderId) -> Option<Arc<Content>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_order.get(order_id).map(|(content, _)| Arc::clone(content))
    }

    /// Keeps a content of this many packed bytes; a content larger than the whole cache is not kept.
    pub(crate) fn put(&self, order_id: &OrderId, content: &Arc<Content>, bytes: usize) {
        if bytes > MOST_BYTES {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = kept.by_order.put(order_id.clone(), (Arc::clone(content), bytes)) {
            kept.bytes -= before;
        }
        kept.bytes += bytes;
        while kept.bytes > MOST_BYTES {
            let Some((_, (_, gone))) = kept.by_order.pop_lru() else { break };
            kept.bytes -= gone;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded() {
        let contents = ContentCache::new();
        let content = Arc::new(Content::default());
        let order_id = |n: u32| format!("a:{n}").parse::<OrderId>().unwrap();
        for n in 0..20 {
            contents.put(&order_id(n), &content, 1024 * 1024);
            contents.put(&order_id(n), &content, 1024 * 1024);
            assert!(contents.get(&order_id(0)).is_some() || n > 20);
        }
        let kept = (0..20).filter(|n| contents.get(&order_id(*n)).is_some()).count();
        assert_eq!(kept, 16);
        assert!(contents.get(&order_id(1)).is_none());
        contents.put(&order_id(99), &content, MOST_BYTES + 1);
        assert!(contents.get(&order_id(99)).is_none());
    }
}
