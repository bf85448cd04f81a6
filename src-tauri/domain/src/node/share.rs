//! Which machine fetches which files where each fetches a part and the parts are exchanged.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Smaller files are the first machine's: they are a thousandth of a model, and configuration that cannot
/// be had is noticed in one place.
const SMALL: u64 = 8 << 20;

/// One machine's part of a revision's blobs. Every machine works out the same division by itself, from
/// what the Hub lists and from these numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How the bytes are divided, in any unit, one number for each machine.
    pub parts: Vec<u32>,
    /// The position of this machine.
    pub mine: usize,
}

impl Share {
    /// The blobs that this machine fetches, from names and sizes of all.
    pub fn own(&self, blobs: &BTreeMap<String, u64>) -> BTreeSet<String> {
        let dealt = deal(blobs, &self.parts).into_iter();
        dealt
            .filter(|(_, to)| *to == self.mine)
            .map(|(name, _)| name)
            .collect()
    }

    /// What this machine may take of a rate that is meant for all of them together, bytes a second.
    pub fn of_rate(&self, rate: u64) -> u64 {
        let all: u64 = self.parts.iter().copied().map(u64::from).sum();
        let mine = self.parts.get(self.mine).copied().unwrap_or(0);
        rate.saturating_mul(mine.into()) / all.max(1)
    }
}

/// Gives each blob to one machine, the largest first and always to the one that is the furthest from its
/// part of all bytes, so that none gets more than its part and one blob more.
fn deal(blobs: &BTreeMap<String, u64>, parts: &[u32]) -> BTreeMap<String, usize> {
    let all: f64 = parts.iter().copied().map(f64::from).sum();
    let bytes: f64 = blobs.values().map(|size| *size as f64).sum();
    let mut open: Vec<f64> = parts
        .iter()
        .map(|part| bytes * f64::from(*part) / all.max(1.0))
        .collect();
    let mut order: Vec<(&String, u64)> = blobs.iter().map(|(n, s)| (n, *s)).collect();
    // The small ones come first, so that the large ones make up for them.
    order.sort_by_key(|(name, size)| (*size >= SMALL, std::cmp::Reverse(*size), *name));
    let mut dealt = BTreeMap::new();
    for (name, size) in order {
        let furthest = (0..open.len()).max_by(|a, b| open[*a].total_cmp(&open[*b]).then(b.cmp(a)));
        let to = if size < SMALL { Some(0) } else { furthest };
        let to = to.filter(|to| *to < open.len()).unwrap_or(0);
        if let Some(open) = open.get_mut(to) {
            *open -= size as f64;
        }
        dealt.insert(name.clone(), to);
    }
    dealt
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(parts: &[u32], mine: usize) -> Share {
        Share {
            parts: parts.to_vec(),
            mine,
        }
    }

    #[test]
    fn the_real_checkpoint_is_divided_as_the_lines_are() {
        let mut blobs: BTreeMap<String, u64> = (0..26)
            .map(|n| (format!("shard-{n:02}"), 4_960_000_000))
            .collect();
        blobs.insert("config".into(), 12_000);
        blobs.insert("tokenizer".into(), 7_000_000);
        let bytes = |own: &BTreeSet<String>| own.iter().map(|n| blobs[n]).sum::<u64>();
        let (head, other) = (
            share(&[70, 30], 0).own(&blobs),
            share(&[70, 30], 1).own(&blobs),
        );
        assert_eq!((head.len(), other.len()), (20, 8));
        assert!(head.contains("config") && head.contains("tokenizer"));
        let part = bytes(&head) as f64 / (bytes(&head) + bytes(&other)) as f64;
        assert!((0.68..0.72).contains(&part), "{part}");
        assert_eq!(share(&[1, 1], 1).own(&blobs).len(), 13);
    }

    #[test]
    fn a_rate_for_all_is_divided_too() {
        assert_eq!(share(&[70, 30], 0).of_rate(10_000_000), 7_000_000);
        assert_eq!(share(&[70, 30], 1).of_rate(10_000_000), 3_000_000);
        assert_eq!(share(&[], 0).of_rate(10), 0);
    }

    proptest! {
        #[test]
        fn every_blob_is_in_one_share_and_no_share_is_off_by_more_than_a_blob(
            sizes in proptest::collection::vec(
                prop_oneof![0..SMALL, SMALL..6_000_000_000_u64], 0..60,
            ),
            parts in proptest::collection::vec(1_u32..100, 2..4),
        ) {
            let blobs: BTreeMap<String, u64> =
                sizes.iter().enumerate().map(|(n, s)| (format!("{n:03}"), *s)).collect();
            let shares: Vec<BTreeSet<String>> =
                (0..parts.len()).map(|mine| share(&parts, mine).own(&blobs)).collect();
            for name in blobs.keys() {
                let owners = shares.iter().filter(|s| s.contains(name)).count();
                prop_assert_eq!(owners, 1, "{} belongs to one", name);
            }
            let all: u64 = sizes.iter().sum();
            let largest = sizes.iter().copied().max().unwrap_or(0) as f64;
            let small: u64 = sizes.iter().filter(|s| **s < SMALL).sum();
            let of: u32 = parts.iter().sum();
            for (part, own) in parts.iter().zip(&shares) {
                let has: u64 = own.iter().map(|n| blobs[n]).sum();
                let should = all as f64 * f64::from(*part) / f64::from(of);
                let most = largest + small as f64 + 1.0;
                prop_assert!(has as f64 <= should + most, "{} of {}", has, should);
                let others = (parts.len() - 1) as f64;
                prop_assert!(has as f64 >= should - others * most, "{} of {}", has, should);
            }
        }
    }
}
