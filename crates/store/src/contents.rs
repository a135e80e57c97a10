//! Contents of big orders read lately: a courier reads many parcels of one order.

use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use posthaste_model::{Content, Suffix};

/// Bytes kept at most, as packed.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The least recently used goes first.
#[derive(Debug)]
pub(crate) struct Contents(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    by_order: LruCache<Suffix, (Arc<Content>, usize)>,
    bytes: usize,
}

impl Contents {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Kept { by_order: LruCache::unbounded(), bytes: 0 }))
    }

    pub(crate) fn get(&self, suffix: &Suffix) -> Option<Arc<Content>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.by_order.get(suffix).map(|(content, _)| Arc::clone(content))
    }

    /// Keeps a content of so many packed bytes; one larger than all there is room for is not kept.
    pub(crate) fn put(&self, suffix: &Suffix, content: &Arc<Content>, bytes: usize) {
        if bytes > MOST_BYTES {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, before)) = kept.by_order.put(suffix.clone(), (Arc::clone(content), bytes)) {
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
    fn what_is_kept_is_bounded() {
        let contents = Contents::new();
        let content = Arc::new(Content::default());
        let suffix = |n: u32| format!("a:{n}").parse::<Suffix>().unwrap();
        for n in 0..20 {
            contents.put(&suffix(n), &content, 1024 * 1024);
            contents.put(&suffix(n), &content, 1024 * 1024);
            assert!(contents.get(&suffix(0)).is_some() || n > 20);
        }
        let kept = (0..20).filter(|n| contents.get(&suffix(*n)).is_some()).count();
        assert_eq!(kept, 16);
        assert!(contents.get(&suffix(1)).is_none());
        contents.put(&suffix(99), &content, MOST_BYTES + 1);
        assert!(contents.get(&suffix(99)).is_none());
    }
}
