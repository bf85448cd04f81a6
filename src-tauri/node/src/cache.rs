//! The layout of the Hugging Face cache.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tandem_domain::problem::{Code, Problem};

use crate::own_file::{self, LockState};

/// How long a process that was killed may take to give up a lock.
const DYING: Duration = Duration::from_secs(60);

/// A Hugging Face home.
#[derive(Debug, Clone)]
pub struct Cache {
    home: PathBuf,
}

impl Cache {
    /// The home that a request names, else `$HF_HOME`, else `~/.cache/huggingface`.
    pub fn find(asked: Option<&str>) -> Result<Self, Problem> {
        let home = user_home();
        let from_env = std::env::var("HF_HOME").ok().filter(|v| !v.is_empty());
        let path = match asked.map(str::to_owned).or(from_env) {
            Some(text) => match (text.strip_prefix('~'), &home) {
                (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                    home.join(rest.trim_start_matches('/'))
                }
                _ => PathBuf::from(text),
            },
            None => home
                .as_ref()
                .map(|h| h.join(".cache/huggingface"))
                .unwrap_or_default(),
        };
        if path.is_absolute() {
            Ok(Self { home: path })
        } else {
            Err(Problem::new(
                Code::BadInput,
                "The Hugging Face home is not an absolute path.",
            )
            .cause(format!("It is given as “{}”.", path.display()))
            .fix("Give a path that begins with / or ~."))
        }
    }

    /// The home itself.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where repositories are.
    pub fn hub(&self) -> PathBuf {
        self.home.join("hub")
    }

    /// One repository.
    pub fn repo(&self, repo: &str) -> PathBuf {
        self.hub()
            .join(format!("models--{}", repo.replace('/', "--")))
    }

    /// A blob.
    pub fn blob(&self, repo: &str, etag: &str) -> PathBuf {
        self.repo(repo).join("blobs").join(etag)
    }

    /// Whether a blob of this size is there. Follows a link into the store that newer versions of
    /// `huggingface_hub` share.
    pub fn holds(&self, repo: &str, etag: &str, size: u64) -> bool {
        std::fs::metadata(self.blob(repo, etag)).is_ok_and(|m| m.is_file() && m.len() == size)
    }

    /// A snapshot.
    pub fn snapshot(&self, repo: &str, commit: &str) -> PathBuf {
        self.repo(repo).join("snapshots").join(commit)
    }

    /// A branch's or tag's reference.
    pub fn reference(&self, repo: &str, name: &str) -> PathBuf {
        self.repo(repo).join("refs").join(name)
    }

    /// The folder of the checkpoint that a graft makes beside a snapshot.
    pub fn overlay(&self, repo: &str, commit: &str) -> PathBuf {
        self.beside(repo, commit, "mtp")
    }

    /// The folder of the draft that is made for a snapshot.
    pub fn draft(&self, repo: &str, commit: &str) -> PathBuf {
        self.beside(repo, commit, "draft")
    }

    fn beside(&self, repo: &str, commit: &str, what: &str) -> PathBuf {
        self.home
            .join("tandem")
            .join(repo.replace('/', "--"))
            .join(format!("{commit}-{what}"))
    }

    /// The lock of a repository, where `huggingface_hub` keeps its own.
    pub fn lock(&self, repo: &str) -> PathBuf {
        self.hub()
            .join(".locks")
            .join(format!("models--{}", repo.replace('/', "--")))
            .join("tandem.lock")
    }

    /// Holds a repository for one job at a time. Given up when the value is dropped or the process
    /// dies. Blocks only while a holder that was killed still gives up what it had, which takes as long
    /// as its disk does. On a file system without locks nothing is held, and `tell` is told so: every file is
    /// checked before it has its name, so two jobs cost each other time and no content.
    pub fn hold(&self, repo: &str, tell: impl FnOnce(String)) -> Result<std::fs::File, Problem> {
        let path = self.lock(repo);
        let open = || -> io::Result<std::fs::File> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            own_file::refuse_links(&self.home, &path)?;
            own_file::lock(&path)
        };
        let failed = |e: io::Error| crate::disk::problem("opening the cache's lock", &path, &e);
        let file = open().map_err(failed)?;
        let until = Instant::now() + DYING;
        loop {
            match own_file::try_lock(&file).map_err(failed)? {
                LockState::Held => return Ok(file),
                LockState::Unsupported => {
                    tell(format!(
                        "The file system of {} has no locks, so nothing keeps a second job away from {repo}. Let no other program download there meanwhile.",
                        self.hub().display()
                    ));
                    return Ok(file);
                }
                LockState::Taken if Instant::now() > until || is_at_work(&file) => {
                    return Err(Problem::new(
                        Code::Locked,
                        format!("Another job works on {repo} on this machine."),
                    )
                    .cause("Two downloads of one repository would write the same files.")
                    .fix("Wait for the other job to end, or cancel it."));
                }
                LockState::Taken => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

/// Whether a lock is held by a process that works. One that was killed is not quite gone while a flush that
/// is under way keeps its files open; and one that has just let go is held by nobody.
fn is_at_work(lock: &std::fs::File) -> bool {
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    let Ok(meta) = lock.metadata() else {
        return false;
    };
    let file = format!(":{}", meta.ino());
    let holder = locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [_, "FLOCK", _, "WRITE", pid, of, ..] if of.ends_with(&file) => Some(*pid),
            _ => None,
        }
    });
    // Its name, which may hold anything, ends with the last bracket.
    let stat = holder.map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")));
    match stat {
        Some(Ok(stat)) => stat
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X'])),
        _ => false,
    }
}

/// The user's home folder.
pub fn user_home() -> Option<PathBuf> {
    std::env::home_dir().filter(|p| p.is_absolute())
}

/// The relative target of a snapshot's link to a blob.
pub fn link_target(name: &str, etag: &str) -> PathBuf {
    let up = 2 + name.matches('/').count();
    let mut path = PathBuf::new();
    for _ in 0..up {
        path.push("..");
    }
    path.push("blobs");
    path.push(etag);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_standard_cache() {
        let cache = Cache::find(Some("/h")).unwrap();
        assert_eq!(
            cache.snapshot("o/n", "c"),
            Path::new("/h/hub/models--o--n/snapshots/c")
        );
        assert_eq!(cache.overlay("o/n", "c"), Path::new("/h/tandem/o--n/c-mtp"));
        assert_eq!(cache.draft("o/n", "c"), Path::new("/h/tandem/o--n/c-draft"));
        assert_eq!(link_target("a", "e"), Path::new("../../blobs/e"));
        assert_eq!(link_target("d/a", "e"), Path::new("../../../blobs/e"));
        assert!(Cache::find(Some("relative")).is_err());
    }

    #[test]
    fn a_holder_that_works_is_told_of_and_one_that_was_killed_is_waited_for() {
        let quiet = |said: String| panic!("there are locks here: {said}");
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::find(dir.path().to_str()).unwrap();
        let held = cache.hold("o/n", quiet).unwrap();
        let problem = cache.hold("o/n", quiet).unwrap_err();
        assert_eq!(problem.code, Code::Locked);
        drop(held);
        // As a killed process leaves it for a moment: taken by one that has ended, and still held.
        let held = std::fs::File::open(cache.lock("o/n")).unwrap();
        let mut taker = std::process::Command::new("flock")
            .args(["--nonblock", "0"])
            .stdin(held.try_clone().unwrap())
            .spawn()
            .unwrap();
        let stat = format!("/proc/{}/stat", taker.id());
        while !std::fs::read_to_string(&stat).unwrap().contains(") Z") {
            std::thread::sleep(Duration::from_millis(5));
        }
        let gives_up = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(held);
        });
        assert!(cache.hold("o/n", quiet).is_ok());
        gives_up.join().unwrap();
        assert!(taker.wait().unwrap().success(), "it had taken the lock");
        assert!(
            cache.hold("x/y", quiet).is_ok(),
            "another repository is free"
        );
    }
}
