//! What Docker saves, written into a file and hashed on the way.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use tandem_domain::node::Spooled;
use tandem_domain::problem::{Code, Problem, Retry};
use tokio::sync::mpsc;
use tokio_util::bytes::Bytes;

use super::docker_api::DockerApi;
use crate::disk;
use crate::transfer::Meter;
use crate::verified::{self, VerifiedMark};

/// The file while it is written.
const UNFINISHED: &str = "unfinished";
/// Parts that wait for the disk at most.
const WAITING: usize = 16;
/// An archive ends in two blocks of zeros, and has whole blocks only.
const BLOCK: u64 = 512;
const END: usize = 1024;

/// Saves the image into the folder, under the BLAKE3 of the archive.
pub(super) async fn write(
    engine: &DockerApi,
    image: &str,
    spool: &Path,
    meter: &Arc<Meter>,
) -> Result<Spooled, Problem> {
    let mut archive = engine.save(image).await?;
    let (parts, waiting) = mpsc::channel(WAITING);
    let (folder, counted) = (spool.to_owned(), Arc::clone(meter));
    let writing = tokio::task::spawn_blocking(move || keep(&folder, waiting, &counted));
    while let Some(part) = DockerApi::more(&mut archive).await? {
        // A writer that has ended says why below.
        if parts.send(part).await.is_err() {
            break;
        }
    }
    // Without this the writer takes it for broken off.
    parts.send(Bytes::new()).await.ok();
    drop(parts);
    let written = writing
        .await
        .map_err(|e| Problem::new(Code::Broken, "The image was not saved.").cause(e.to_string()))?;
    written.map_err(|e| match e {
        SaveFault::Disk(e) => disk::problem("saving the image", spool, &e),
        SaveFault::Short => Problem::new(Code::ImagePull, "Docker did not save the whole image.")
            .cause("What it wrote does not end as an archive ends.")
            .fix("Look whether Docker's own disk is full, then resume.")
            .retry(Retry::Now),
    })
}

#[derive(Debug)]
enum SaveFault {
    Disk(io::Error),
    /// It broke off: Docker writes its complaint where the archive should go on, and ends as if all was
    /// well.
    Short,
}

impl From<io::Error> for SaveFault {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Writes what comes until an empty part; without one it broke off.
fn keep(
    spool: &Path,
    mut parts: mpsc::Receiver<Bytes>,
    meter: &Meter,
) -> Result<Spooled, SaveFault> {
    let path = spool.join(UNFINISHED);
    let mut file = File::create(&path)?;
    let mut hasher = blake3::Hasher::new();
    let (mut size, mut end, mut finished) = (0, [1_u8; END], false);
    while let Some(part) = parts.blocking_recv() {
        if part.is_empty() {
            finished = true;
            break;
        }
        hasher.update(&part);
        file.write_all(&part)?;
        size += part.len() as u64;
        let kept = part.len().min(END);
        end.rotate_left(kept);
        end[END - kept..].copy_from_slice(&part[part.len() - kept..]);
        meter.add(part.len() as u64);
    }
    if !finished || size % BLOCK != 0 || end.iter().any(|b| *b != 0) {
        return Err(SaveFault::Short);
    }
    file.sync_all()?;
    let tree = hasher.finalize().to_hex().to_string();
    verified::note(
        &file,
        &VerifiedMark {
            etag: tree.clone(),
            tree: tree.clone(),
        },
    );
    let place = spool.join(&tree);
    std::fs::rename(&path, &place)?;
    crate::fetch::sync_folder(&place)?;
    Ok(Spooled {
        name: tree,
        bytes: size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(parts: &[&[u8]]) -> (Result<Spooled, SaveFault>, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let (send, waiting) = mpsc::channel(WAITING);
        for part in parts {
            send.try_send(Bytes::copy_from_slice(part)).unwrap();
        }
        drop(send);
        let kept = keep(dir.path(), waiting, &Meter::new("Saving"));
        (kept, dir)
    }

    #[test]
    fn a_whole_archive_is_named_by_its_tree() {
        let (head, end) = ([7_u8; 512], [0_u8; 700]);
        let (kept, dir) = kept(&[&head, &end, &end[..324], &[]]);
        let kept = kept.unwrap();
        let whole = [&head[..], &[0; 1024]].concat();
        assert_eq!(kept.name, blake3::hash(&whole).to_hex().as_str());
        assert_eq!(kept.bytes, 1536);
        assert_eq!(std::fs::read(dir.path().join(&kept.name)).unwrap(), whole);
    }

    #[test]
    fn one_that_broke_off_is_refused() {
        let (head, end) = ([7_u8; 512], [0_u8; 1024]);
        let complaint = b"{\"error\":\"no space left on device\"}";
        for parts in [
            &[&head[..], &end, complaint, &[]][..],
            &[&head[..], &end[..512], &[]],
            &[&head[..], &end[1..], &[]],
            &[&head[..], &end],
            &[&[]],
        ] {
            let (kept, dir) = kept(parts);
            assert!(matches!(kept, Err(SaveFault::Short)), "{kept:?}");
            let named = std::fs::read_dir(dir.path()).unwrap().flatten();
            let names: Vec<_> = named.map(|e| e.file_name()).collect();
            assert_eq!(names, [UNFINISHED], "nothing has a name to be served by");
        }
    }
}
