//! How large files and revisions may be that somebody else tells of: the Hub, another machine, a header. A size
//! becomes a [`FileSize`] where it comes in, so that no sum of sizes wraps and no queue is made of a number that
//! nobody has the disk for.

/// The largest file, in bytes. The Hub takes files of up to 500 GB.
pub const LARGEST_FILE: u64 = 1_000_000_000_000;
/// The largest revision, in bytes: as much as the largest disk of a DGX Spark.
pub const LARGEST_REVISION: u64 = 4_000_000_000_000;

/// The size of one file in bytes, at most [`LARGEST_FILE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileSize(u64);

/// More than there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooLarge {
    /// Of one file.
    #[error("it is told to have {0} bytes, and no file has more than {LARGEST_FILE}")]
    File(u64),
    /// Of all files together.
    #[error("its files are told to have more than {LARGEST_REVISION} bytes together")]
    Revision,
}

impl FileSize {
    /// A size as somebody else tells it.
    pub fn told(bytes: u64) -> Result<Self, TooLarge> {
        match bytes {
            0..=LARGEST_FILE => Ok(Self(bytes)),
            _ => Err(TooLarge::File(bytes)),
        }
    }

    /// In bytes.
    pub fn bytes(self) -> u64 {
        self.0
    }

    /// All files of a revision together, in bytes, at most [`LARGEST_REVISION`].
    pub fn sum(sizes: impl IntoIterator<Item = Self>) -> Result<u64, TooLarge> {
        let mut sizes = sizes.into_iter();
        sizes.try_fold(0_u64, |sum, size| {
            let sum = sum.checked_add(size.0).ok_or(TooLarge::Revision)?;
            (sum <= LARGEST_REVISION)
                .then_some(sum)
                .ok_or(TooLarge::Revision)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_has_the_disk_for_is_refused_and_no_sum_wraps() {
        assert_eq!(FileSize::told(7).map(FileSize::bytes), Ok(7));
        for told in [LARGEST_FILE + 1, 1 << 63, u64::MAX] {
            assert_eq!(FileSize::told(told), Err(TooLarge::File(told)));
        }
        let largest = FileSize::told(LARGEST_FILE).unwrap();
        assert_eq!(FileSize::sum([largest; 4]), Ok(LARGEST_REVISION));
        assert_eq!(FileSize::sum([largest; 5]), Err(TooLarge::Revision));
        let many = std::iter::repeat_n(largest, 20_000_000);
        assert_eq!(FileSize::sum(many), Err(TooLarge::Revision));
    }
}
