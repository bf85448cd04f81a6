//! Starting a job so that it stays when the connection goes, and the work of the detached process.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tandem_domain::node::{JobStanding, JobState, NodeEvent, NodeRequest, NodeWork};
use tandem_domain::problem::{Code, Problem, Retry};
use tandem_domain::secret::Secret;
use tokio_util::sync::CancellationToken;

use super::folder::Folder;
use super::own_limits;
use super::process::Worker;
use super::state;
use crate::cache::Cache;
use crate::context::{Context, Settings};
use crate::created_paths::{CreatedPaths, repositories};
use crate::dispatch::perform;
use crate::fetched::Fetched;
use crate::job_output::JobOutput;

/// The kernel's mark of a file system in memory.
const TMPFS: rustix::fs::FsWord = 0x0102_1994;
/// How long a worker may take to say that it is there.
const ARRIVE: Duration = Duration::from_secs(15);

/// What is passed on to a worker that a service manager starts without our surroundings.
const PASSED_ON: [&str; 14] = [
    "HOME",
    "PATH",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "TZ",
    "SSL_CERT_FILE",
];

/// How the worker is detached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launcher {
    /// As a unit of the user's manager, where that outlives the session; else as a process.
    Any,
    /// As a process of its own session.
    Process,
}

/// Starts a job, or finds the one that is under way or done.
pub fn start(name: &str, request: &NodeRequest, launcher: Launcher) -> Result<JobState, Problem> {
    request.work.check_names()?;
    let folder = Folder::make(name)?;
    let _lock = folder.lock()?;
    let now = state(&folder, name)?;
    let kept = folder.request().map(|kept| kept.work);
    let same = kept
        .as_ref()
        .is_some_and(|kept| super::limit::same_work(kept, &request.work));
    if same && kept.as_ref() != Some(&request.work) {
        super::limit::take_over(&folder, &request.work)?;
    }
    match now.state {
        JobStanding::Running if same => return Ok(now),
        JobStanding::Running => {
            return Err(Problem::new(
                Code::Locked,
                "A job of that name is under way with another request.",
            )
            .cause(format!("{name} works on something else."))
            .fix("Cancel it first, or give another name."));
        }
        JobStanding::Done if same => return Ok(now),
        _ => {}
    }
    folder.keep(request)?;
    let token = request
        .token
        .as_ref()
        .filter(|t| !t.is_empty())
        .map(|t| leave_token(name, t))
        .transpose()?;
    let before = folder.worker();
    // The user's manager keeps the groups it began with, and the run that needs Docker may just have added
    // the user to Docker's.
    let launcher = match &request.work {
        NodeWork::SaveImage(_) | NodeWork::LoadImage(_) => Launcher::Process,
        _ => launcher,
    };
    let place = folder.keep_place(Cache::find(None)?)?;
    let launched = launch(name, &folder, &place, token.as_deref(), launcher)
        .and_then(|how| wait_for(&folder, before.as_ref(), how));
    if let Some(path) = token {
        // The worker removed it when it read it; a worker that never came has not.
        let _ = std::fs::remove_file(path);
    }
    launched?;
    Ok(JobState {
        job: name.to_owned(),
        state: JobStanding::Started,
        last_seq: now.last_seq,
    })
}

/// Puts the token where only memory holds it, readable by this user alone, to be removed on reading.
fn leave_token(name: &str, token: &str) -> Result<PathBuf, Problem> {
    let user = rustix::process::getuid().as_raw();
    let places = [
        PathBuf::from(format!("/run/user/{user}")),
        PathBuf::from("/dev/shm"),
    ];
    let in_memory =
        |place: &&PathBuf| rustix::fs::statfs(place.as_path()).is_ok_and(|s| s.f_type == TMPFS);
    for place in places.iter().filter(in_memory) {
        let path = place.join(format!("tandem-{user}-{name}.{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        if let Ok(mut file) = options.open(&path)
            && file.write_all(token.as_bytes()).is_ok()
        {
            return Ok(path);
        }
    }
    Err(Problem::new(
        Code::MachineUnfit,
        "The token could not be handed to the download.",
    )
    .cause("Neither /run/user nor /dev/shm is a file system in memory that can be written, and a token is never written to a disk.")
    .fix("Mount a tmpfs at /dev/shm."))
}

/// Starts the process. Gives its handle where it is our child.
fn launch(
    name: &str,
    folder: &Folder,
    place: &Cache,
    token: Option<&Path>,
    launcher: Launcher,
) -> Result<Option<std::process::Child>, Problem> {
    let program = std::env::current_exe().map_err(|e| {
        Problem::new(
            Code::NodeProgram,
            "The node program cannot find its own file.",
        )
        .cause(e.to_string())
    })?;
    let mut arguments = vec!["work".to_owned(), "--job".to_owned(), name.to_owned()];
    if let Some(path) = token {
        arguments.push("--token-file".to_owned());
        arguments.push(path.to_string_lossy().into_owned());
    }
    if launcher == Launcher::Any && by_manager(name, &program, &arguments, place) {
        return Ok(None);
    }
    let stderr = std::fs::File::create(folder.stderr())
        .map_err(|e| crate::disk::problem("starting the job", &folder.stderr(), &e))?;
    let child = Command::new(program)
        .args(&arguments)
        .envs(place.environment())
        .env("MALLOC_ARENA_MAX", "2")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr)
        .current_dir("/")
        .spawn()
        .map_err(|e| {
            Problem::new(Code::NodeProgram, "The job's process did not start.").cause(e.to_string())
        })?;
    Ok(Some(child))
}

/// Starts it as a unit of the user's service manager, if there is one that stays.
///
/// Without lingering the manager ends with the user's last session and takes its units along, so
/// that a plain process is the safer home: sessions leave those alone.
fn by_manager(name: &str, program: &Path, arguments: &[String], place: &Cache) -> bool {
    let user = rustix::process::getuid().as_raw();
    let runtime = format!("/run/user/{user}");
    let lingers = std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .is_ok_and(|u| Path::new("/var/lib/systemd/linger").join(u).exists());
    if !lingers || !Path::new(&runtime).join("systemd/private").exists() {
        return false;
    }
    let places = place.environment();
    unit(name, program, arguments, |key| {
        places.iter().any(|(name, _)| *name == key) || std::env::var_os(key).is_some()
    })
    .envs(places)
    .env("XDG_RUNTIME_DIR", &runtime)
    .env("MALLOC_ARENA_MAX", "2")
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(Stdio::null())
    .status()
    .is_ok_and(|s| s.success())
}

/// The command that starts the unit. What is set is passed on by its name alone: a proxy's value may hold a
/// password, and everybody on the machine may read a command line.
fn unit(
    name: &str,
    program: &Path,
    arguments: &[String],
    is_set: impl Fn(&str) -> bool,
) -> Command {
    let mut command = Command::new("systemd-run");
    command
        .args([
            "--user",
            "--quiet",
            "--collect",
            "--setenv=MALLOC_ARENA_MAX",
        ])
        .arg(format!("--unit=tandem-{name}-{}", std::process::id()))
        .args(own_limits::UNIT.map(|property| format!("--property={property}")));
    for key in PASSED_ON.iter().filter(|key| is_set(key)) {
        command.arg(format!("--setenv={key}"));
    }
    command.arg("--").arg(program).args(arguments);
    command
}

/// Waits until the worker has said that it is there.
fn wait_for(
    folder: &Folder,
    before: Option<&Worker>,
    mut child: Option<std::process::Child>,
) -> Result<(), Problem> {
    let until = Instant::now() + ARRIVE;
    loop {
        if folder.worker().as_ref() != before {
            return Ok(());
        }
        let ended = child
            .as_mut()
            .and_then(|c| c.try_wait().ok().flatten())
            .is_some_and(|status| !status.success());
        if ended || Instant::now() > until {
            let said = std::fs::read_to_string(folder.stderr()).unwrap_or_default();
            return Err(
                Problem::new(Code::NodeProgram, "The job's process did not start.")
                    .cause(if said.is_empty() {
                        "It ended and printed nothing.".to_owned()
                    } else {
                        said.trim().to_owned()
                    })
                    .retry(Retry::Now),
            );
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The detached process: registers, works, says how it ended.
pub fn work(name: &str, token_file: Option<&Path>) -> Result<(), Problem> {
    // A session of its own: nothing that ends the connection reaches it. Under a service manager it
    // has one already.
    let _ = rustix::process::setsid();
    own_limits::set();
    let token = token_file.and_then(|path| {
        let text = std::fs::read_to_string(path).ok();
        let _ = std::fs::remove_file(path);
        text.map(Secret::new)
    });
    let folder = Folder::existing(name)?;
    let request = folder
        .request()
        .ok_or_else(|| Problem::new(Code::Broken, "The job's request cannot be read."))?;
    let last = repair(&folder)?;
    let path = folder.lines();
    let failed = |e: std::io::Error| crate::disk::problem("opening the job's lines", &path, &e);
    let out = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(failed)?;
    let made = CreatedPaths::in_file(&folder.made(), &repositories(&request.work))?;
    let context = Context {
        lines: Arc::new(JobOutput::new(last, Box::new(out))),
        cancel: CancellationToken::new(),
        made,
        fetched: Arc::new(Fetched::in_file(folder.fetched())),
        limits: Some(folder.limits()),
        spool: Some(folder.spool()),
        waits: Some(folder.waits()),
        settings: Settings::default(),
    };
    let runtime = crate::runtime()?;
    runtime.block_on(async {
        let cancel = context.cancel.clone();
        let ends = crate::on_end_signal(cancel)?;
        folder.register(&Worker::this(last + 1))?;
        let end = perform(request.work, token, &context).await;
        ends.abort();
        context.lines.say(end);
        Ok(())
    })
}

/// Cuts off a line that a death left half written, and says the last number.
fn repair(folder: &Folder) -> Result<u64, Problem> {
    let path = folder.lines();
    let Ok(text) = std::fs::read(&path) else {
        return Ok(0);
    };
    let whole = text
        .iter()
        .rposition(|b| *b == b'\n')
        .map_or(0, |at| at + 1);
    if whole < text.len() {
        OpenOptions::new()
            .write(true)
            .open(&path)
            .and_then(|f| f.set_len(whole as u64))
            .map_err(|e| crate::disk::problem("mending the job's lines", &path, &e))?;
    }
    let last = text[..whole]
        .split(|b| *b == b'\n')
        .rfind(|l| !l.is_empty())
        .and_then(|l| serde_json::from_slice::<tandem_domain::node::NodeLine>(l).ok());
    Ok(last.map_or(0, |l| l.seq))
}

/// The end of a job as `run` in the foreground says it.
pub fn foreground(request: NodeRequest) -> Result<bool, Problem> {
    let token = request.token.map(Secret::new);
    let runtime = crate::runtime()?;
    runtime.block_on(async {
        let cancel = CancellationToken::new();
        let context = Context::foreground(
            JobOutput::new(0, Box::new(std::io::stdout())),
            cancel.clone(),
        );
        let ends = crate::on_end_signal(cancel)?;
        let end = perform(request.work, token, &context).await;
        ends.abort();
        let good = matches!(end, NodeEvent::Done { .. });
        context.lines.say(end);
        Ok(good)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_of_the_environment_is_on_the_command_line_and_memory_has_a_limit() {
        let command = unit(
            "j",
            Path::new("/p/tandem-node"),
            &["work".to_owned()],
            |key| key != "no_proxy",
        );
        let words: Vec<String> = command
            .get_args()
            .map(|a| a.to_string_lossy().into_owned())
            .collect();
        let passed = words.iter().filter_map(|w| w.strip_prefix("--setenv="));
        let passed: Vec<&str> = passed.collect();
        assert!(
            passed.contains(&"HTTPS_PROXY") && !passed.contains(&"no_proxy"),
            "{passed:?}"
        );
        assert!(passed.iter().all(|name| !name.contains('=')), "{passed:?}");
        assert!(
            words.contains(&"--property=MemoryMax=256M".to_owned()),
            "{words:?}"
        );
        assert_eq!(words[words.len() - 3..], ["--", "/p/tandem-node", "work"]);
    }
}
