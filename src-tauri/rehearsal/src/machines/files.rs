//! Files of a simulated machine: a reader sees the old one or the new one, and a failure leaves nothing.

use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

/// How much is copied between two words about the progress.
const PIECE: usize = 256 << 10;

/// Removes what was begun, unless it has got its name.
struct Draft(Option<PathBuf>);

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Where it cannot be removed, it could not be written either, and that is told.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Whether an error says that there is no such file, as it says of a path that leads through a file.
pub(super) fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Writes all of a source beside the target and renames. Makes missing folders.
pub(super) async fn replace(
    place: &Path,
    mode: u32,
    source: &mut (dyn AsyncRead + Send + Unpin),
    on_progress: &mut (dyn FnMut(u64) + Send),
) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    if let Some(folder) = place.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let beside = format!(".tandem-{}-{number}.draft", std::process::id());
    let beside = place.with_file_name(beside);
    // Nobody else reads it before it has the mode that was asked for.
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)?;
    let mut draft = Draft(Some(beside.clone()));
    let mut file = tokio::fs::File::from_std(file);
    let (mut piece, mut done) = (vec![0; PIECE], 0);
    loop {
        let read = source.read(&mut piece).await?;
        if read == 0 {
            break;
        }
        file.write_all(&piece[..read]).await?;
        done += read as u64;
        on_progress(done);
    }
    file.flush().await?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
        .await?;
    // Closed before it gets its name: a program that is open for writing cannot be started.
    drop(file.into_std().await);
    tokio::fs::rename(&beside, place).await?;
    draft.0 = None;
    Ok(())
}
