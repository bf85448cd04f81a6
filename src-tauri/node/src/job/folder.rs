//! A job's folder.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tandem_domain::node::{FetchLimits, NodeRequest};
use tandem_domain::problem::{Code, Problem};

use super::process::Worker;
use crate::cache::{Cache, user_home};
use crate::{disk, own_file};

/// See the module.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    fn of(name: &str) -> Result<Self, Problem> {
        let good = !name.is_empty()
            && name.len() <= 128
            && !name.starts_with('.')
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !good {
            return Err(
                Problem::new(Code::BadInput, "The job's name cannot be used.").cause(format!(
                    "It is “{name}”; letters, digits, -, _ and . are allowed."
                )),
            );
        }
        let home = crate::cache::user_home().ok_or_else(|| {
            Problem::new(Code::MachineUnfit, "The user has no home folder here.")
                .cause("HOME is not set and the user database names none.")
        })?;
        Ok(Self(home.join(".local/share/tandem/jobs").join(name)))
    }

    /// The folder of a job that was started before.
    pub fn existing(name: &str) -> Result<Self, Problem> {
        let folder = Self::of(name)?;
        if folder.request_file().is_file() {
            Ok(folder)
        } else {
            Err(Problem::new(
                Code::JobLost,
                "There is no job of that name on this machine.",
            )
            .cause(format!("{} is not there.", folder.0.display()))
            .fix("Start it again."))
        }
    }

    /// The folder of a job as far as there is anything of it.
    pub fn there(name: &str) -> Option<Self> {
        Self::of(name).ok().filter(|folder| folder.0.is_dir())
    }

    /// The folder of a job, made if need be.
    pub fn make(name: &str) -> Result<Self, Problem> {
        let folder = Self::of(name)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder.0)
            .map_err(|e| disk::problem("making the job's folder", &folder.0, &e))?;
        Ok(folder)
    }

    /// Holds the folder, so that two starts make one job. A home on a share without locks is no obstacle:
    /// whoever starts jobs here holds the machine's lease, so two starts at once are the exception.
    pub fn lock(&self) -> Result<File, Problem> {
        let path = self.0.join("lock");
        let lock = || -> io::Result<File> {
            let file = File::create(&path)?;
            match rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive) {
                Err(e) if !own_file::has_no_locks(e) => Err(e.into()),
                _ => Ok(file),
            }
        };
        lock().map_err(|e| disk::problem("locking the job's folder", &path, &e))
    }

    fn request_file(&self) -> PathBuf {
        self.0.join("request.json")
    }

    /// The request, without its token.
    pub fn request(&self) -> Option<NodeRequest> {
        serde_json::from_slice(&fs::read(self.request_file()).ok()?).ok()
    }

    /// Keeps a request. The token is left out.
    pub fn keep(&self, request: &NodeRequest) -> Result<(), Problem> {
        let kept = NodeRequest {
            token: None,
            work: request.work.clone(),
        };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        write_whole(&self.request_file(), &text)
            .map_err(|e| disk::problem("keeping the request", &self.0, &e))
    }

    fn place_file(&self) -> PathBuf {
        self.0.join("cache.json")
    }

    /// The cache that the job writes to, as it was found when it was started first: what the environment says
    /// later does not move what was begun. A home that moves takes its cache along.
    pub fn place(&self) -> Option<Cache> {
        let kept: Cache = serde_json::from_slice(&fs::read(self.place_file()).ok()?).ok()?;
        Some(kept.with_home(&user_home()?))
    }

    /// Keeps the cache that the job writes to, unless it has one.
    pub fn keep_place(&self, cache: Cache) -> Result<Cache, Problem> {
        if let Some(kept) = self.place() {
            return Ok(kept);
        }
        let path = self.place_file();
        let kept = match user_home() {
            Some(user) => cache.without_home(&user),
            None => cache.clone(),
        };
        let text = serde_json::to_vec(&kept).unwrap_or_default();
        write_whole(&path, &text)
            .map_err(|e| disk::problem("keeping where the cache is", &path, &e))?;
        Ok(cache)
    }

    /// Who works on it, or did last.
    pub fn worker(&self) -> Option<Worker> {
        serde_json::from_slice(&fs::read(self.0.join("worker.json")).ok()?).ok()
    }

    /// Says who works on it.
    pub fn register(&self, worker: &Worker) -> Result<(), Problem> {
        let text = serde_json::to_vec(worker).unwrap_or_default();
        write_whole(&self.0.join("worker.json"), &text)
            .map_err(|e| disk::problem("registering the worker", &self.0, &e))
    }

    /// Where the lines are.
    pub fn lines(&self) -> PathBuf {
        self.0.join("lines.jsonl")
    }

    /// Where the notes of what was made are.
    pub fn made(&self) -> PathBuf {
        self.0.join("made")
    }

    /// Where the count of bytes is.
    pub fn fetched(&self) -> PathBuf {
        self.0.join("fetched")
    }

    /// Where limits that were given later than the request are.
    pub fn limits(&self) -> PathBuf {
        self.0.join("limits.json")
    }

    /// There while the job brings nothing by itself and only waits for another machine.
    pub fn waits(&self) -> PathBuf {
        self.0.join("waits")
    }

    /// Holds the job to other limits from now on; a worker looks by itself.
    pub fn hold_to(&self, limits: &FetchLimits) -> Result<(), Problem> {
        let text = serde_json::to_vec(limits).unwrap_or_default();
        write_whole(&self.limits(), &text)
            .map_err(|e| disk::problem("keeping the limits", &self.0, &e))
    }

    /// Where the worker's last words on stderr are.
    pub fn stderr(&self) -> PathBuf {
        self.0.join("stderr")
    }

    /// Where an image lies that is on its way from or to this machine.
    pub fn spool(&self) -> PathBuf {
        self.0.join("spool")
    }

    /// Forgets the job. Its request goes last: a removal that fails in the middle can be repeated.
    pub fn remove(&self) -> Result<(), Problem> {
        let request = self.request_file();
        let remove = || -> io::Result<()> {
            for entry in fs::read_dir(&self.0)? {
                let entry = entry?;
                match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(entry.path())?,
                    false if entry.path() == request => {}
                    false => fs::remove_file(entry.path())?,
                }
            }
            match fs::remove_file(&request) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
            fs::remove_dir(&self.0)
        };
        remove().map_err(|e| disk::problem("removing the job's folder", &self.0, &e))?;
        // The folder above goes with its last job, so that nothing is left behind.
        if let Some(jobs) = self.0.parent() {
            let _ = fs::remove_dir(jobs);
        }
        Ok(())
    }
}

/// Flushed before it stands under its name: a loss of power must not leave a job that nobody can undo,
/// because its request is empty.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = File::create(&beside)?;
    file.write_all(text)?;
    file.sync_data()?;
    fs::rename(beside, path)
}
