//! Long work that outlives the connection which asked for it.
//!
//! A job is a folder: the request without its token, the lines said so far, what was made, and who
//! works on it. Whoever wants to know asks the folder; nobody has to stay.

mod folder;
mod limit;
pub mod own_limits;
mod process;
mod start;

use std::io::{Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use tandem_domain::node::{JobAsked, JobStanding, JobState, NodeEvent, NodeLine, NodeWork, Undone};
use tandem_domain::problem::{Code, Problem};

pub use folder::Folder;
pub use limit::limit;
pub use start::{Launcher, foreground, start, work};

use crate::cache::Cache;
use crate::created_paths;
use crate::job_output::now_ms;

/// How often a follower looks for new lines: a job's end is told this late at most.
const LOOK: Duration = Duration::from_millis(40);
/// How long a worker may take to tidy up when it is cancelled.
const TIDY: Duration = Duration::from_secs(10);

/// Streams the lines after `after`, and waits for more until one that is the last.
pub fn follow(name: &str, after: u64, out: &mut dyn Write) -> Result<(), Problem> {
    let folder = Folder::existing(name)?;
    let mut reader = Reader::default();
    let mut last = after;
    loop {
        // Asked before reading: a worker that ends afterwards has its last line in what is read.
        let worker = folder.worker();
        let alive = worker.as_ref().is_some_and(process::Worker::is_alive);
        let first_seq = worker.map_or(0, |w| w.first_seq);
        for mut line in reader.read(&folder)? {
            if line.seq <= after {
                last = last.max(line.seq);
                continue;
            }
            last = line.seq;
            let ends = line.event.is_last();
            // The end of an earlier start is history once a later start goes on.
            let earlier = ends && line.seq < first_seq;
            if earlier {
                line.event = NodeEvent::Note {
                    text: "An earlier start of this job ended here; it was started again.".into(),
                };
            }
            if !say(out, &line) || (ends && !earlier) {
                return Ok(());
            }
        }
        // Everything that there was has been said, and a follower may begin after the last line.
        if let Some(end) = reader
            .end
            .clone()
            .filter(|l| l.seq >= first_seq && l.seq <= after)
        {
            say(out, &end);
            return Ok(());
        }
        if !alive {
            let lost = NodeLine {
                seq: last + 1,
                at: now_ms(),
                event: NodeEvent::Lost,
            };
            say(out, &lost);
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

/// Writes a line; `false` when nobody listens any more.
fn say(out: &mut dyn Write, line: &NodeLine) -> bool {
    let Ok(mut text) = serde_json::to_vec(line) else {
        return false;
    };
    text.push(b'\n');
    out.write_all(&text).and_then(|()| out.flush()).is_ok()
}

/// Reads a growing file of lines, each once.
#[derive(Default)]
struct Reader {
    at: u64,
    rest: Vec<u8>,
    /// The last line read, if it ends the job.
    end: Option<NodeLine>,
}

impl Reader {
    fn read(&mut self, folder: &Folder) -> Result<Vec<NodeLine>, Problem> {
        let path = folder.lines();
        let mut read = || -> std::io::Result<()> {
            let mut file = match std::fs::File::open(&path) {
                Ok(file) => file,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
                Err(e) => return Err(e),
            };
            file.seek(SeekFrom::Start(self.at))?;
            self.at += file.read_to_end(&mut self.rest)? as u64;
            Ok(())
        };
        read().map_err(|e| crate::disk::problem("reading what the job said", &path, &e))?;
        let mut lines = Vec::new();
        while let Some(end) = self.rest.iter().position(|b| *b == b'\n') {
            let text: Vec<u8> = self.rest.drain(..=end).collect();
            if let Ok(line) = serde_json::from_slice::<NodeLine>(&text) {
                self.end = line.event.is_last().then(|| line.clone());
                lines.push(line);
            }
        }
        Ok(lines)
    }
}

/// How a job stands.
pub fn state(folder: &Folder, name: &str) -> Result<JobState, Problem> {
    let mut reader = Reader::default();
    let lines = reader.read(folder)?;
    let state = if folder.worker().is_some_and(|w| w.is_alive()) {
        JobStanding::Running
    } else if matches!(
        reader.end.as_ref().map(|l| &l.event),
        Some(NodeEvent::Done { .. })
    ) {
        JobStanding::Done
    } else {
        JobStanding::Ended
    };
    Ok(JobState {
        job: name.to_owned(),
        state,
        last_seq: lines.last().map_or(0, |l| l.seq),
    })
}

/// What a job was asked to do, and how it stands.
pub fn asked(name: &str) -> Result<JobAsked, Problem> {
    let folder = Folder::existing(name)?;
    let request = folder.request().ok_or_else(|| {
        Problem::new(
            Code::JobLost,
            "What the job was asked to do cannot be read.",
        )
        .cause("It was kept by another version of this program, or its file is damaged.")
    })?;
    Ok(JobAsked {
        state: state(&folder, name)?,
        work: request.work,
    })
}

/// Ends a job's worker, first by asking. What is on disk stays.
pub fn cancel(name: &str) -> Result<JobState, Problem> {
    let Ok(folder) = Folder::existing(name) else {
        return Ok(JobState {
            job: name.to_owned(),
            state: JobStanding::Ended,
            last_seq: 0,
        });
    };
    end(&folder)?;
    state(&folder, name)
}

fn end(folder: &Folder) -> Result<(), Problem> {
    let Some(worker) = folder.worker().filter(process::Worker::is_alive) else {
        return Ok(());
    };
    worker.ask_to_end();
    if !wait_for_end(&worker, TIDY) {
        worker.kill();
        if !wait_for_end(&worker, TIDY) {
            return Err(Problem::new(Code::Broken, "The job could not be ended.")
                .cause(format!("Process {} does not go away.", worker.pid)));
        }
    }
    Ok(())
}

fn wait_for_end(worker: &process::Worker, time: Duration) -> bool {
    let until = Instant::now() + time;
    while worker.is_alive() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

/// Ends a job, takes back what it made and forgets it. What could not be taken back stays noted and the job
/// stays known, so that another undo goes on with it.
pub fn undo(name: &str) -> Result<Undone, Problem> {
    let mut undone = Undone::default();
    let Some(folder) = Folder::there(name) else {
        return Ok(undone);
    };
    end(&folder)?;
    match folder.request().map(|request| request.work) {
        Some(work) => take_back(&work, &folder, &mut undone)?,
        // A folder without a request is what an undo left that died at its end.
        None if folder.made().exists() => {
            return Err(
                Problem::new(Code::JobLost, "What the job made was not removed.")
                    .cause(format!(
                        "What it was asked to do cannot be read, and {} names what it made.",
                        folder.made().display()
                    ))
                    .fix("Remove by hand what that file names, then the job's folder."),
            );
        }
        None => {}
    }
    if undone.left.is_empty() {
        folder.remove()?;
    }
    Ok(undone)
}

fn take_back(work: &NodeWork, folder: &Folder, undone: &mut Undone) -> Result<(), Problem> {
    let home = match work {
        NodeWork::Copy(r) => &r.fetch.hf_home,
        NodeWork::Fetch(r) => &r.hf_home,
        NodeWork::Graft(r) => &r.hf_home,
        // What an image's job made lies in its own folder.
        NodeWork::SaveImage(_) | NodeWork::LoadImage(_) => {
            crate::image::count(&folder.spool(), undone);
            return Ok(());
        }
        NodeWork::Survey(_) | NodeWork::Probe(_) | NodeWork::Check(_) => {
            return Ok(());
        }
    };
    let cache = match (home, folder.place()) {
        (None, Some(kept)) => kept,
        (home, _) => Cache::find(home.as_deref())?,
    };
    let made = folder.made();
    let entries = created_paths::read(&made, &created_paths::repositories(work))?;
    let (taken_back, left) = crate::undo::undo(&cache, &entries);
    *undone = taken_back;
    if !left.is_empty() {
        created_paths::write(&made, &left)
            .map_err(|e| crate::disk::problem("noting what is left", &made, &e))?;
    }
    Ok(())
}
