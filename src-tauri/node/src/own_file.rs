//! The one way in which a file of a cache is opened for writing.
//!
//! Others may write into a cache that is shared. A link, or a second name of another file, that stands where
//! Tandem is about to write would lead the write to any file of this user; so neither is followed, and nor is
//! a link in the place of one of a repository's folders. What a person made a link themselves, the Hugging
//! Face home, its `hub` or the folder of a whole repository, is followed as ever.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// What stands where a file or folder of Tandem's own should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotOwn {
    /// A link.
    Link,
    /// A folder, a pipe or the like.
    NoFile,
    /// A file that has a second name.
    SecondName,
    /// A file of another user.
    OtherUser(u32),
}

impl fmt::Display for NotOwn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Link => f.write_str("it is a link, and may lead anywhere"),
            Self::NoFile => f.write_str("it is no plain file"),
            Self::SecondName => f.write_str("it has a second name, and may be somebody's own file"),
            Self::OtherUser(user) => write!(f, "it belongs to user {user}"),
        }
    }
}

impl std::error::Error for NotOwn {}

impl From<NotOwn> for io::Error {
    fn from(what: NotOwn) -> Self {
        Self::other(what)
    }
}

/// What an error says of a file that is not Tandem's own, if it is about that.
pub fn not_own(error: &io::Error) -> Option<NotOwn> {
    error.get_ref()?.downcast_ref::<NotOwn>().copied()
}

/// Opens a file to go on with it, or makes it.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(
        path,
        OpenOptions::new().read(true).write(true).create(true),
        OFlags::empty(),
    )
}

/// Opens a file to add to its end, or makes it.
pub fn append(path: &Path) -> io::Result<File> {
    open_with(
        path,
        OpenOptions::new().append(true).create(true),
        OFlags::empty(),
    )
}

/// Opens a file with these options and flags besides.
pub fn open_with(path: &Path, options: &mut OpenOptions, flags: OFlags) -> io::Result<File> {
    // A pipe in its place must not hold the opening up.
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = options
        .truncate(false)
        .custom_flags(i32::try_from(flags.bits()).map_err(io::Error::other)?)
        .open(path)
        .map_err(|e| match Errno::from_io_error(&e) {
            Some(Errno::LOOP) => NotOwn::Link.into(),
            Some(Errno::ISDIR | Errno::NXIO) => NotOwn::NoFile.into(),
            _ => e,
        })?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(NotOwn::NoFile.into());
    }
    if meta.nlink() != 1 {
        return Err(NotOwn::SecondName.into());
    }
    if !is_own(meta.uid(), path)? {
        return Err(NotOwn::OtherUser(meta.uid()).into());
    }
    Ok(file)
}

/// Whether a file with this owner is what this process makes in that folder. A share of the network may give
/// every file to one user of its own, whoever writes it.
fn is_own(owner: u32, path: &Path) -> io::Result<bool> {
    if owner == rustix::process::geteuid().as_raw() {
        return Ok(true);
    }
    let probe = path.with_file_name(format!(".tandem-owner-{}", std::process::id()));
    let given = fresh(&probe)?.metadata()?.uid();
    std::fs::remove_file(&probe)?;
    Ok(given == owner)
}

/// Makes a file anew. Whatever had its name goes first, so that nothing is written through it.
pub fn fresh(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).open(path)
}

/// Gives a file this content, whole or not at all, whatever dies in between.
pub fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = beside(path);
    let mut file = fresh(&beside)?;
    file.write_all(content)?;
    file.sync_data()?;
    std::fs::rename(beside, path)
}

/// Where the next content of a file is written before it takes its name.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".tandem-new");
    path.with_file_name(name)
}

/// Opens a file to hold it as a lock, or makes it. Users who share a cache share it, and nobody writes to it;
/// some file systems of the network want it opened for writing all the same.
pub fn lock(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let opened = match options.custom_flags(flags).open(path) {
        Err(e) if e.kind() == ErrorKind::PermissionDenied => {
            OpenOptions::new().read(true).custom_flags(flags).open(path)
        }
        opened => opened,
    };
    opened.map_err(|e| match Errno::from_io_error(&e) {
        Some(Errno::LOOP) => NotOwn::Link.into(),
        _ => e,
    })
}

/// What became of the wish to hold a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockState {
    /// It is held now, until the file is closed.
    Held,
    /// Somebody else holds it.
    Taken,
    /// The file system has no locks, as some shares of a network: nobody can hold one there.
    Unsupported,
}

/// Asks for a lock without waiting for it. Any other failure is an error.
pub fn try_lock(file: &File) -> io::Result<LockState> {
    loop {
        return match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(LockState::Held),
            Err(Errno::INTR) => continue,
            Err(Errno::WOULDBLOCK) => Ok(LockState::Taken),
            Err(e) if has_no_locks(e) => Ok(LockState::Unsupported),
            Err(e) => Err(e.into()),
        };
    }
}

/// Whether an error says that the file system has no locks: NFS without lockd, Lustre without `-o flock` and some
/// FUSE, and others, in this order.
pub fn has_no_locks(error: Errno) -> bool {
    matches!(error, Errno::NOLCK | Errno::NOSYS | Errno::OPNOTSUPP)
}

/// Refuses a path below a home that leads through a link, from that many folders below it on. The path's own
/// end is not looked at.
pub fn refuse_links(home: &Path, own_folder: usize, path: &Path) -> io::Result<()> {
    let Ok(below) = path.strip_prefix(home) else {
        return Ok(());
    };
    let parts: Vec<Component<'_>> = below.components().collect();
    let mut folder = home.to_path_buf();
    for (depth, part) in parts.iter().enumerate().take(parts.len().saturating_sub(1)) {
        folder.push(part);
        let is_link = || std::fs::symlink_metadata(&folder).is_ok_and(|m| m.is_symlink());
        if depth >= own_folder && is_link() {
            return Err(NotOwn::Link.into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn nothing_is_written_through_a_link_or_a_second_name() {
        let dir = tempfile::tempdir().unwrap();
        let (mine, planted) = (dir.path().join("mine"), dir.path().join("planted"));
        std::fs::write(&mine, "precious").unwrap();
        let ways: [fn(&Path) -> io::Result<File>; 3] = [open, append, lock];
        symlink(&mine, &planted).unwrap();
        for way in ways {
            assert_eq!(not_own(&way(&planted).unwrap_err()), Some(NotOwn::Link));
        }
        std::fs::remove_file(&planted).unwrap();
        std::fs::hard_link(&mine, &planted).unwrap();
        for way in [open, append] {
            assert_eq!(
                not_own(&way(&planted).unwrap_err()),
                Some(NotOwn::SecondName)
            );
        }
        fresh(&planted).unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&mine).unwrap(), b"precious");
        assert_eq!(std::fs::read(&planted).unwrap(), b"new");
        std::fs::remove_file(&planted).unwrap();
        std::fs::create_dir(&planted).unwrap();
        assert_eq!(not_own(&open(&planted).unwrap_err()), Some(NotOwn::NoFile));
        symlink(&mine, beside(&dir.path().join("ref"))).unwrap();
        replace(&dir.path().join("ref"), b"commit").unwrap();
        assert_eq!(std::fs::read(&mine).unwrap(), b"precious");
    }

    #[test]
    fn a_link_counts_below_a_repository_s_folder_only() {
        let dir = tempfile::tempdir().unwrap();
        let (home, disk) = (dir.path().join("hf"), dir.path().join("disk"));
        std::fs::create_dir_all(disk.join("models--o--n/blobs")).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        symlink(&disk, home.join("hub")).unwrap();
        let path = home.join("hub/models--o--n/blobs/e");
        refuse_links(&home, 2, &path).unwrap();
        std::fs::remove_dir(disk.join("models--o--n/blobs")).unwrap();
        symlink("/", disk.join("models--o--n/blobs")).unwrap();
        let refused = refuse_links(&home, 2, &path).unwrap_err();
        assert_eq!(not_own(&refused), Some(NotOwn::Link));
    }
}
