//! Things kept in memory up to a number of bytes, the least recently used thrown out first.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

/// A cache. Cheap to ask; never held across an `await`.
pub(super) struct Cache<K, V> {
    bytes_max: usize,
    inner: Mutex<Inner<K, V>>,
}

struct Inner<K, V> {
    tick: u64,
    bytes: usize,
    entries: HashMap<K, Entry<V>>,
}

struct Entry<V> {
    tick: u64,
    bytes: usize,
    value: V,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, inner: Mutex::new(Inner { tick: 0, bytes: 0, entries: HashMap::new() }) }
    }

    fn with<R>(&self, work: impl FnOnce(&mut Inner<K, V>) -> R) -> R {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn get(&self, key: &K) -> Option<V> {
        self.with(|inner| {
            inner.tick += 1;
            let entry = inner.entries.get_mut(key)?;
            entry.tick = inner.tick;
            Some(entry.value.clone())
        })
    }

    /// Keeps a value; one that is larger than a quarter of the cache is not worth what it would push out.
    pub(super) fn put(&self, key: K, value: V, bytes: usize) {
        if bytes > self.bytes_max / 4 {
            return;
        }
        self.with(|inner| {
            inner.tick += 1;
            let entry = Entry { tick: inner.tick, bytes, value };
            if let Some(old) = inner.entries.insert(key, entry) {
                inner.bytes -= old.bytes;
            }
            inner.bytes += bytes;
            if inner.bytes > self.bytes_max {
                // Down to seven eighths, so that the walk over all entries is rare.
                let mut by_age: Vec<_> =
                    inner.entries.iter().map(|(key, entry)| (entry.tick, key.clone())).collect();
                by_age.sort_unstable_by_key(|(tick, _)| *tick);
                for (_, key) in by_age {
                    if inner.bytes <= self.bytes_max / 8 * 7 {
                        break;
                    }
                    if let Some(old) = inner.entries.remove(&key) {
                        inner.bytes -= old.bytes;
                    }
                }
            }
        });
    }

    pub(super) fn remove(&self, key: &K) {
        self.with(|inner| {
            if let Some(old) = inner.entries.remove(key) {
                inner.bytes -= old.bytes;
            }
        });
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.with(|inner| inner.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first_and_the_bound_holds() {
        let cache = Cache::new(100);
        for key in 0..10 {
            cache.put(key, key, 10);
        }
        assert_eq!(cache.get(&0), Some(0), "used just now");
        cache.put(10, 10, 10);
        assert!(cache.bytes() <= 100);
        assert_eq!(cache.get(&0), Some(0));
        assert_eq!(cache.get(&1), None);
        cache.put(11, 11, 26);
        assert_eq!(cache.get(&11), None, "too large to be kept");
        cache.remove(&0);
        cache.put(10, 10, 5);
        assert!(cache.bytes() <= 95);
    }
}
