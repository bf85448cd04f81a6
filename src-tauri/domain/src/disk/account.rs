//! Counting bytes that several things share.

use std::collections::{BTreeMap, BTreeSet};

/// A file as the kernel knows it: device and number, whatever it is called.
pub type FileId = (u64, u64);

/// One file that an item reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Which file.
    pub file: FileId,
    /// Bytes it takes on the disk.
    pub bytes: u64,
    /// Its names anywhere on the disk.
    pub names: u64,
    /// Those of its names that go with the item.
    pub goes: u64,
}

/// What an item weighs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// Bytes it takes, with those it shares.
    pub size: u64,
    /// Bytes that are free once it alone is removed.
    pub frees: u64,
}

/// Weighs every item, and all of them together, each file counted once.
///
/// A file is freed with an item if no other item reaches it and the item has all of its names: a hard
/// link that nobody here knows of keeps the bytes where they are.
pub fn account(items: &[Vec<Held>]) -> (Vec<Account>, u64) {
    let mut users: BTreeMap<FileId, BTreeSet<usize>> = BTreeMap::new();
    let mut all: BTreeMap<FileId, u64> = BTreeMap::new();
    for (index, held) in items.iter().enumerate() {
        for one in held {
            users.entry(one.file).or_default().insert(index);
            all.insert(one.file, one.bytes);
        }
    }
    let accounts = items.iter().map(|held| {
        let mut files: BTreeMap<FileId, Held> = BTreeMap::new();
        for one in held {
            files
                .entry(one.file)
                .and_modify(|known| known.goes += one.goes)
                .or_insert(*one);
        }
        let mut account = Account::default();
        for one in files.values() {
            account.size += one.bytes;
            let alone = users.get(&one.file).is_some_and(|u| u.len() == 1);
            if alone && one.goes >= one.names {
                account.frees += one.bytes;
            }
        }
        account
    });
    (accounts.collect(), all.values().sum())
}

/// The most that one of several workers has to do when each takes the next largest piece as it comes
/// free. `sizes` come the largest first.
pub fn makespan(sizes: &[u64], workers: usize) -> u64 {
    let mut loads = vec![0_u64; workers.max(1)];
    for size in sizes {
        if let Some(least) = loads.iter_mut().min() {
            *least += size;
        }
    }
    loads.into_iter().max().unwrap_or(0)
}
