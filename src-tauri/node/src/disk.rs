//! Disks: free space, and failures of a file as a person reads them.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use tandem_domain::problem::{Code, Problem, Retry, bytes};
use tandem_domain::shell::own;

use crate::own_file;

/// Free and all bytes of the disk that holds, or would hold, a path.
pub fn space(path: &Path) -> Option<(u64, u64)> {
    let there = nearest(path)?;
    let stat = rustix::fs::statvfs(&there).ok()?;
    Some((
        stat.f_bavail.saturating_mul(stat.f_frsize),
        stat.f_blocks.saturating_mul(stat.f_frsize),
    ))
}

/// The path itself, or the closest folder above it that exists.
fn nearest(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|p| p.exists()).map(Path::to_path_buf)
}

/// Whom the path belongs to, or what there is of it, where that is somebody else.
fn owner(path: &Path) -> String {
    let meta = nearest(path).and_then(|p| std::fs::metadata(p).ok());
    let user = rustix::process::geteuid().as_raw();
    match meta.map(|m| m.uid()).filter(|uid| *uid != user) {
        Some(0) => ": it belongs to root".to_owned(),
        Some(uid) => format!(": it belongs to user {uid}"),
        None => String::new(),
    }
}

/// What has to be made the user's own so that a path is: all of the cache around it that belongs to the same
/// owner, so that it is done once, and nothing outside of the cache.
fn to_own(path: &Path, owner: impl Fn(&Path) -> Option<u32>) -> &Path {
    let whose = owner(path);
    let is_cache = |p: &Path| p.file_name().is_some_and(|name| name == "hub");
    let mut own = path;
    for above in path.ancestors().take_while(|p| owner(p) == whose) {
        own = above;
        if is_cache(above) {
            return own;
        }
    }
    // Without a cache around it, its owner may be that of the whole machine.
    match own.ancestors().any(is_cache) {
        true => own,
        false => path,
    }
}

/// What has to be made the user's own, as its path is now on the disk.
fn not_owned(path: &Path) -> String {
    let there = nearest(path).unwrap_or_else(|| path.to_owned());
    let owner = |p: &Path| std::fs::metadata(p).ok().map(|m| m.uid());
    to_own(&there, owner).to_string_lossy().into_owned()
}

/// A failure of a file or folder, in words.
pub fn problem(doing: &str, path: &Path, error: &io::Error) -> Problem {
    let shown = path.display();
    if let Some(what) = own_file::not_own(error) {
        return Problem::new(
            Code::MachineUnfit,
            "Something else stands where Tandem keeps a file of its own.",
        )
        .cause(format!(
            "{doing} was not done: {shown} is in the way, for {what}."
        ))
        .fix("Look what it is and who put it there. Remove it if nobody needs it, then resume.");
    }
    match Errno::from_io_error(error) {
        Some(Errno::NOSPC | Errno::DQUOT) => Problem::new(
            Code::DiskFull,
            format!("The disk became full while {doing}."),
        )
        .cause(format!(
            "There was no room left for {shown}{}.",
            space(path).map_or(String::new(), |(free, all)| format!(
                " ({} free of {})",
                bytes(free),
                bytes(all)
            ))
        ))
        .fix("Free some space on that disk, then resume; what has arrived is kept.")
        .retry(Retry::Now),
        Some(Errno::ACCESS | Errno::PERM) => Problem::new(
            Code::MachineUnfit,
            format!("The machine did not allow {doing}."),
        )
        .cause(format!("{shown} is closed to this user{}.", owner(path)))
        .fix_with(
            "Make the folder your own; files that a container wrote as root belong to root.",
            own(&not_owned(path)),
        ),
        Some(Errno::ROFS) => Problem::new(
            Code::MachineUnfit,
            format!("The machine did not allow {doing}."),
        )
        .cause(format!("{shown} is on a disk that is read-only."))
        .fix("Choose a Hugging Face home on a disk that can be written."),
        _ => Problem::new(Code::Broken, format!("Something failed while {doing}."))
            .cause(format!("{shown}: {error}")),
    }
}

/// Refuses work for which the disk has no room.
pub fn ask_for(need: u64, path: &Path) -> Result<(), Problem> {
    let Some((free, _)) = space(path) else {
        return Ok(());
    };
    if need <= free {
        return Ok(());
    }
    Err(Problem::new(
        Code::DiskTooSmall,
        format!("The disk has no room for another {}.", bytes(need)),
    )
    .cause(format!(
        "{} are needed and {} are free on the disk of {}.",
        bytes(need),
        bytes(free),
        path.display()
    ))
    .fix(format!(
        "Free {} there, or choose a Hugging Face home on another disk.",
        bytes(need - free)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_the_cache_is_to_be_made_one_s_own_and_nothing_else() {
        let own = |path: &str, roots: &str| {
            let whose = |p: &Path| Some(if p.starts_with(roots) { 0 } else { 1000 });
            to_own(Path::new(path), whose).display().to_string()
        };
        let blobs = "/home/me/hf/hub/models--o--n/blobs";
        assert_eq!(own(blobs, "/home/me/hf"), "/home/me/hf/hub");
        assert_eq!(
            own(blobs, "/home/me/hf/hub/models--o--n"),
            "/home/me/hf/hub/models--o--n"
        );
        assert_eq!(own(blobs, blobs), blobs);
        assert_eq!(own("/data/hf", "/"), "/data/hf", "never the whole machine");
    }
}
