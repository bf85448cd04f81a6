//! Whether the disks have room for an image on its way.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use tandem_domain::problem::{Code, Problem, bytes};

use crate::disk;

/// Bytes that are needed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Need {
    /// For the file.
    pub(super) file: u64,
    /// By Docker, for a while or for good.
    pub(super) docker: u64,
}

/// Refuses where the disk of the file or Docker's own has no room. Where Docker's folder is not known, or
/// lies on the same disk, all of it has to be there.
pub(super) fn ask_for_room(
    need: &Need,
    spool: &Path,
    docker: Option<&Path>,
) -> Result<(), Problem> {
    let device = |path: &Path| std::fs::metadata(path).map(|m| m.dev()).ok();
    let apart = docker.filter(|root| device(root).is_some_and(|d| Some(d) != device(spool)));
    match apart {
        Some(root) => {
            ask(need.file, spool)?;
            ask(need.docker, root)
        }
        None => ask(need.file + need.docker, spool),
    }
}

fn ask(need: u64, path: &Path) -> Result<(), Problem> {
    let Some((free, _)) = disk::space(path).filter(|(free, _)| *free < need) else {
        return Ok(());
    };
    Err(Problem::new(
        Code::DiskTooSmall,
        "The disk has no room for the image on its way to the other machine.",
    )
    .cause(format!(
        "{} are needed for a while and {} are free on the disk of {}.",
        bytes(need),
        bytes(free),
        path.display()
    ))
    .fix(format!("Free {} there.", bytes(need - free))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_needs_count_on_one_disk() {
        let dir = tempfile::tempdir().unwrap();
        let free = disk::space(dir.path()).unwrap().0;
        let part = free / 10 * 6;
        let need = |file, docker| Need { file, docker };
        assert!(ask_for_room(&need(part, 0), dir.path(), Some(dir.path())).is_ok());
        assert!(ask_for_room(&need(0, part), dir.path(), None).is_ok());
        let told = ask_for_room(&need(part, part), dir.path(), Some(dir.path())).unwrap_err();
        assert_eq!(told.code, Code::DiskTooSmall);
        assert!(told.cause.unwrap().contains("needed for a while"));
        // Another file system, whose space is its own.
        let memory = Path::new("/proc");
        let apart = ask_for_room(&need(part, 0), dir.path(), Some(memory));
        assert!(apart.is_ok(), "{apart:?}");
    }
}
