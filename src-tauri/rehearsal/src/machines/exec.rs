//! A command of a simulated machine as a process of this computer: it is heard as one over SSH is, and
//! ends when its caller goes away.

use std::io::ErrorKind;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tandem_domain::ports::{Command, LONGEST_LINE, MachineError, Output, TooLong};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Child;

/// Takes each line of stdout, without its end.
pub(super) type OnLine<'a> = &'a mut (dyn for<'l> FnMut(&'l str) + Send);

/// How long a stream that the command left open to a child of its own is still listened to.
const GRACE: Duration = Duration::from_secs(2);
/// How long a command that is not wanted any more has between TERM and KILL.
const LAST: Duration = Duration::from_secs(2);
/// How long a program may be held open by others before it counts as not startable.
const BUSY: Duration = Duration::from_secs(2);

/// A command's processes. Whoever lets go of them before they have ended ends them.
struct CommandGroup {
    group: Option<Pid>,
    child: Option<Child>,
}

/// Kills what is left of a group.
struct Rest(Pid);

impl Drop for Rest {
    fn drop(&mut self) {
        // A group that is gone already is what was wanted.
        let _ = kill_process_group(self.0, Signal::KILL);
    }
}

impl Drop for CommandGroup {
    fn drop(&mut self) {
        let (Some(group), Some(mut child)) = (self.group, self.child.take()) else {
            return;
        };
        let rest = Rest(group);
        let _ = kill_process_group(group, Signal::TERM);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        // Where the app itself is ending, this is dropped before it has waited, and the rest is killed now.
        runtime.spawn(async move {
            let start = Instant::now();
            while start.elapsed() < LAST {
                // One that has ended stays in its group until somebody has asked for its status.
                let _ = child.try_wait();
                if test_kill_process_group(group).is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            drop(rest);
            let _ = child.wait().await;
        });
    }
}

/// Runs a prepared process as this command. Dropping the future ends it, with its children, but not
/// those that have a session of their own.
pub(super) async fn run(
    mut process: tokio::process::Command,
    command: &Command,
    on_line: Option<OnLine<'_>>,
) -> Result<Output, MachineError> {
    process
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    let child = match start(&mut process).await {
        Ok(child) => child,
        // What a shell says, since over SSH it is one that looks for the program.
        Err(error) => {
            let missing = error.kind() == ErrorKind::NotFound;
            return Ok(Output {
                status: if missing { 127 } else { 126 },
                stdout: Vec::new(),
                stderr: format!("{}: {error}\n", command.program).into_bytes(),
            });
        }
    };
    let work = listen(child, command, on_line);
    let Some(limit) = command.timeout else {
        return work.await;
    };
    tokio::time::timeout(limit, work).await.unwrap_or_else(|_| {
        Err(MachineError::TimedOut {
            program: command.program.clone(),
            seconds: limit.as_secs(),
        })
    })
}

/// Starts it. A program that was just written may be held open for a moment by another process that was forked
/// meanwhile and does not run its own program yet; the system refuses to start it until then.
async fn start(process: &mut tokio::process::Command) -> std::io::Result<Child> {
    let since = Instant::now();
    loop {
        match process.spawn() {
            Err(e) if e.kind() == ErrorKind::ExecutableFileBusy && since.elapsed() < BUSY => {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            started => return started,
        }
    }
}

async fn listen(
    child: Child,
    command: &Command,
    on_line: Option<OnLine<'_>>,
) -> Result<Output, MachineError> {
    let lost = |_| MachineError::Lost {
        during: format!("running `{}`", command.program),
    };
    let group = child.id().and_then(|id| Pid::from_raw(id as i32));
    let mut running = CommandGroup {
        group,
        child: Some(child),
    };
    let Some(child) = &mut running.child else {
        unreachable!("it was put in just now");
    };
    let (Some(mut stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        unreachable!("all three were asked for");
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut long_line = false;
    // Of more nothing is read, and the command ends at its next word.
    let room = command.most as u64 + 1;
    let status = {
        let feed = async move {
            // A program that does not read its input is no fault.
            let _ = stdin.write_all(&command.stdin).await;
        };
        let hear = async {
            match on_line {
                None => stdout.take(room).read_to_end(&mut out).await.map(|_| ()),
                Some(on_line) => lines(stdout, on_line, &mut long_line).await,
            }
        };
        let complaints = async { stderr.take(room).read_to_end(&mut err).await.map(|_| ()) };
        let streams = async {
            let ((), heard, complained) = tokio::join!(feed, hear, complaints);
            heard.and(complained)
        };
        tokio::pin!(streams);
        tokio::select! {
            heard = &mut streams => {
                heard.map_err(lost)?;
                child.wait().await.map_err(lost)?
            }
            status = child.wait() => {
                if let Ok(heard) = tokio::time::timeout(GRACE, streams).await {
                    heard.map_err(lost)?;
                }
                status.map_err(lost)?
            }
        }
    };
    // It has ended by itself; what it left running may go on.
    running.group = None;
    if long_line {
        return Err(MachineError::too_much(command, TooLong::Line));
    }
    if out.len().max(err.len()) > command.most {
        return Err(MachineError::too_much(command, TooLong::Output));
    }
    Ok(Output {
        status: number(status),
        stdout: out,
        stderr: err,
    })
}

async fn lines(
    stdout: tokio::process::ChildStdout,
    on_line: OnLine<'_>,
    too_long: &mut bool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stdout);
    let mut line = Vec::new();
    let room = LONGEST_LINE as u64 + 1;
    while (&mut reader)
        .take(room)
        .read_until(b'\n', &mut line)
        .await?
        > 0
    {
        *too_long = line.len() > LONGEST_LINE;
        if *too_long {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        on_line(&String::from_utf8_lossy(text));
        line.clear();
    }
    Ok(())
}

fn number(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::{Command, Duration, run};

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_program_that_is_held_open_for_a_moment_is_started_after_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("program");
        std::fs::copy("/bin/true", &program).expect("a program to copy");
        let held = std::fs::OpenOptions::new().append(true).open(&program);
        let held = held.expect("it can be written");
        let command = Command::new(program.to_string_lossy(), [""; 0]);
        let ran = run(tokio::process::Command::new(&program), &command, None);
        let let_go = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            drop(held);
        };
        let (ran, ()) = tokio::join!(ran, let_go);
        assert_eq!(ran.expect("it ran").status, 0);
    }
}
