//! The layout of the Hugging Face cache.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tandem_domain::problem::{Code, Problem};

use crate::cache_place;
use crate::own_file::{self, LockState};

/// How long a process that was killed may take to give up a lock.
const DYING: Duration = Duration::from_secs(60);

/// A Hugging Face home, and where its repositories are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cache {
    home: PathBuf,
    hub: PathBuf,
}

impl Cache {
    /// The home that a request names; else what the environment says to Hugging Face's own tools, see
    /// [`cache_place`]; else `~/.cache/huggingface`.
    pub fn find(asked: Option<&str>) -> Result<Self, Problem> {
        let user = user_home().unwrap_or_default();
        let var = |name: &str| std::env::var(name).ok();
        let (home, hub) = match asked {
            Some(asked) => {
                let home = cache_place::expanded(asked, &var, &user);
                (home.clone(), home.join("hub"))
            }
            None => cache_place::of(&var, &user),
        };
        let cache = Self { home, hub };
        let unfit = [&cache.home, &cache.hub]
            .into_iter()
            .find(|path| !path.is_absolute());
        match unfit {
            None => Ok(cache),
            Some(path) => Err(Problem::new(
                Code::BadInput,
                "The Hugging Face home is not an absolute path.",
            )
            .cause(format!("It is given as “{}”.", path.display()))
            .fix("Give a path that begins with / or ~.")),
        }
    }

    /// It with `~` for the user's home.
    pub fn without_home(&self, user: &Path) -> Self {
        let short = |path: &Path| match path.strip_prefix(user) {
            Ok(below) => Path::new("~").join(below),
            Err(_) => path.to_path_buf(),
        };
        Self {
            home: short(&self.home),
            hub: short(&self.hub),
        }
    }

    /// It with the user's home for `~`.
    pub fn with_home(&self, user: &Path) -> Self {
        let whole = |path: &Path| match path.strip_prefix("~") {
            Ok(below) => user.join(below),
            Err(_) => path.to_path_buf(),
        };
        Self {
            home: whole(&self.home),
            hub: whole(&self.hub),
        }
    }

    /// The environment in which [`Cache::find`] finds this one.
    pub fn environment(&self) -> [(&'static str, &Path); 2] {
        [("HF_HOME", &self.home), ("HF_HUB_CACHE", &self.hub)]
    }

    /// The home itself.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where repositories are.
    pub fn hub(&self) -> PathBuf {
        self.hub.clone()
    }

    /// A path of it as it is noted: below `hub/` what lies where the repositories are, wherever that is, and all
    /// else as seen from the home. Folders above either come out as `..`.
    pub fn relative(&self, path: &Path) -> String {
        let text = |below: &Path| below.to_string_lossy().into_owned();
        match path.strip_prefix(&self.hub) {
            Ok(below) if below.as_os_str().is_empty() => return "hub".to_owned(),
            Ok(below) => return text(&Path::new("hub").join(below)),
            Err(_) => {}
        }
        match path.strip_prefix(&self.home) {
            Ok(below) if below.as_os_str().is_empty() => return ".".to_owned(),
            Ok(below) => return text(below),
            Err(_) => {}
        }
        let up = |rest: &Path| vec![".."; rest.components().count()].join("/");
        match (self.home.strip_prefix(path), self.hub.strip_prefix(path)) {
            (Ok(rest), _) => up(rest),
            (Err(_), Ok(rest)) => format!("hub/{}", up(rest)),
            _ => text(path),
        }
    }

    /// Where a noted path is; the kernel does not remove a folder by the names `.` and `..`.
    pub fn absolute(&self, noted: &str) -> PathBuf {
        let mut parts = Path::new(noted).components().peekable();
        let mut absolute = match parts.next_if_eq(&Component::Normal("hub".as_ref())) {
            Some(_) => self.hub.clone(),
            None => self.home.clone(),
        };
        for part in parts {
            match part {
                Component::ParentDir => {
                    absolute.pop();
                }
                Component::Normal(name) => absolute.push(name),
                _ => {}
            }
        }
        absolute
    }

    /// Refuses a path of it that leads through a link, from below the folder of its repository on. The path's own
    /// end is not looked at.
    pub fn refuse_links(&self, path: &Path) -> io::Result<()> {
        // `models--OWNER--NAME` and `.locks`, or `tandem/OWNER--NAME`.
        if path.starts_with(&self.hub) {
            own_file::refuse_links(&self.hub, 1, path)
        } else {
            own_file::refuse_links(&self.home, 2, path)
        }
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
            self.refuse_links(&path)?;
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
