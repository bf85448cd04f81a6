//! A checkpoint of a given size with the same structure, for measurements.

use std::io;
use std::path::Path;

use super::config::Lists;
use super::shape::{LAYERS, Release, Tensor, Widths, body, mtp};
use super::{FakeRevision, bf16_files, numbered, point, write};

/// Bytes of the real NVFP4 release, by which widths are scaled.
const REAL_BYTES: f64 = 129e9;

/// The repository to be served, without MTP layers.
pub const REPO: &str = "tandem/Synthetic-NVFP4";
/// Its commit.
pub const COMMIT: &str = "5e11a7c0ffee0d15ea5e5e11a7c0ffee0d15ea5e";
/// The repository that has the MTP layers in BF16. Its decoder is thinner than the served one's: only
/// the MTP layers are ever read from it.
pub const BF16_REPO: &str = "tandem/Synthetic";
/// Its commit.
pub const BF16_COMMIT: &str = "bf16a7c0ffee0d15ea5e5e11a7c0ffee0d15ea5e";

/// What was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synthetic {
    /// Bytes of the served checkpoint's tensors.
    pub bytes: u64,
    /// Bytes of the MTP tensors in the sibling.
    pub mtp_bytes: u64,
    /// Bytes of the embedding there, which a draft has beside them.
    pub embedding_bytes: u64,
}

fn total(tensors: &[Tensor]) -> u64 {
    tensors.iter().map(Tensor::bytes).sum()
}

fn embedding(w: &Widths) -> u64 {
    let all = body(w, Release::Bf16);
    let is = |t: &&Tensor| t.name.ends_with("embed_tokens.weight");
    all.iter().filter(is).map(Tensor::bytes).sum()
}

/// The widths for a checkpoint of about so many bytes.
fn widths(bytes: u64) -> Widths {
    let scale = (bytes as f64 / REAL_BYTES).sqrt();
    let part = |real: f64, step: usize| -> usize {
        let n = (real * scale / step as f64).round() as usize;
        n.max(1) * step
    };
    let mut w = Widths {
        hidden: part(4096.0, 64),
        inter: part(11264.0, 64),
        expert: part(1280.0, 32),
        shared: part(1280.0, 32),
        experts: 1,
        full_heads: 8,
        sliding_heads: 12,
        groups: 4,
        head_dim: part(1024.0, 16),
        vocab: part(128_896.0, 64),
        vision: 32,
        vision_layers: 2,
    };
    let thin = total(&body(&w, Release::Nvfp4));
    let two = total(&body(&Widths { experts: 2, ..w }, Release::Nvfp4));
    let each = (two - thin).max(1);
    w.experts = 1 + usize::try_from(bytes.saturating_sub(thin) / each).unwrap_or(0);
    w
}

/// Writes both repositories below `repos`, unless they are there.
pub fn write_synthetic(repos: &Path, bytes: u64) -> io::Result<Synthetic> {
    let w = widths(bytes);
    let served = body(&w, Release::Nvfp4);
    let made = Synthetic {
        bytes: total(&served),
        mtp_bytes: total(&mtp(&w)),
        embedding_bytes: embedding(&w),
    };
    FakeRevision {
        repo: REPO,
        commit: COMMIT,
        widths: w,
        lists: Lists::Truncated,
        quantized: Some(false),
        truncating: true,
        files: numbered(write::deal(served, 13)),
    }
    .write(repos)?;
    let thin = Widths { experts: 1, ..w };
    FakeRevision {
        repo: BF16_REPO,
        commit: BF16_COMMIT,
        widths: thin,
        lists: Lists::Whole,
        quantized: None,
        truncating: false,
        files: bf16_files(&thin, 4),
    }
    .write(repos)?;
    point(repos, REPO, "main", COMMIT)?;
    point(repos, BF16_REPO, "main", BF16_COMMIT)?;
    debug_assert!(w.experts >= 1 && LAYERS == 45);
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::{BF16_COMMIT, BF16_REPO, COMMIT, REPO, total, widths, write_synthetic};
    use crate::checkpoint::shape::{Release, body, mtp};

    #[test]
    fn sizes_come_close_to_what_was_asked_for() {
        for bytes in [500_000_000_u64, 3_000_000_000, 129_000_000_000] {
            let w = widths(bytes);
            let made = total(&body(&w, Release::Nvfp4)) as f64 / bytes as f64;
            assert!((0.9..=1.1).contains(&made), "{bytes} became {made} of it");
            let share = total(&mtp(&w)) as f64 / bytes as f64;
            assert!((0.02..0.07).contains(&share), "MTP is {share} of {bytes}");
        }
    }

    #[test]
    fn both_repositories_are_on_disk() {
        let dir = tempfile::tempdir().expect("folder");
        let made = write_synthetic(dir.path(), 40_000_000).expect("written");
        assert!(made.mtp_bytes > 500_000);
        assert!(
            dir.path()
                .join(REPO)
                .join(COMMIT)
                .join("model-00013-of-00013.safetensors")
                .exists()
        );
        assert!(
            dir.path()
                .join(BF16_REPO)
                .join(BF16_COMMIT)
                .join("config.json")
                .exists()
        );
    }
}
