//! A machine reached by SSH: the port `Machine`.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use tandem_domain::ports::{
    Command, LONGEST_LINE, Machine, MachineError, Output, RemoteFile, TooLong,
};
use tandem_domain::secret::Secret;
use tokio::sync::Mutex;

use super::error;
use super::exec::{self, Ended, Take, Who};
use super::session::{OpenError, Session, SshStream};
use super::sftp::MOST_FILE;
use super::target::{Auth, SshTarget};

/// The status by which [`READ`] says that there is no such file.
const NO_FILE: i32 = 44;
/// Reads `$1` as root.
const READ: &str = r#"[ -e "$1" ] || exit 44; exec cat -- "$1""#;
/// Writes stdin to `$1` with the mode `$2`: beside the target, flushed, renamed.
const WRITE: &str = r#"set -eu
d=$(dirname -- "$1"); umask 022; mkdir -p -- "$d"; umask 077
t=$(mktemp -- "$d/.tandem.XXXXXXXXXX"); trap 'rm -f -- "$t"' EXIT; trap 'exit 1' HUP INT PIPE TERM
cat >"$t"; chmod -- "$2" "$t"; sync -- "$t"; mv -fT -- "$t" "$1"; sync -- "$d""#;

/// A Linux machine over one SSH connection, made when it is needed.
pub struct SshMachine {
    name: String,
    target: RwLock<SshTarget>,
    session: Mutex<Option<Arc<Session>>>,
}

impl SshMachine {
    /// Remembers where the machine is. Nothing is sent until the first call.
    pub fn new(target: SshTarget) -> Self {
        Self {
            name: target.name.clone(),
            target: RwLock::new(target),
            session: Mutex::new(None),
        }
    }

    /// The user we are there.
    pub fn user(&self) -> String {
        self.target().user
    }

    /// What sudo is told from now on; `None` forgets the password.
    pub fn set_sudo_password(&self, password: Option<Secret>) {
        self.change(|target| target.sudo_password = password);
    }

    /// How connections made from now on log in.
    pub fn set_auth(&self, auth: Vec<Auth>) {
        self.change(|target| target.auth = auth);
    }

    /// Logs in, unless it is logged in already.
    pub async fn connect(&self) -> Result<(), MachineError> {
        self.session().await.map(|_| ())
    }

    fn target(&self) -> SshTarget {
        self.target
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn change(&self, change: impl FnOnce(&mut SshTarget)) {
        change(&mut self.target.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// The connection, made now if there is none or if the last one ended.
    async fn session(&self) -> Result<Arc<Session>, MachineError> {
        // Held while connecting, so that calls made at the same time share one login.
        let mut slot = self.session.lock().await;
        if let Some(session) = slot.as_ref().filter(|s| !s.is_closed()) {
            return Ok(Arc::clone(session));
        }
        *slot = None;
        let session = Arc::new(Session::open(&self.target()).await?);
        *slot = Some(Arc::clone(&session));
        Ok(session)
    }

    /// A stream to a socket on the machine. `Ok(Err(reason))` where the server refused.
    pub(crate) async fn socket(
        &self,
        path: &str,
    ) -> Result<Result<SshStream, russh::ChannelOpenFailure>, MachineError> {
        let opened = self.session().await?.socket(path).await;
        refused(opened, || format!("opening `{path}`"))
    }

    /// A stream to a port of the machine's loopback. `Ok(Err(reason))` where the server refused.
    pub(crate) async fn port(
        &self,
        port: u16,
    ) -> Result<Result<SshStream, russh::ChannelOpenFailure>, MachineError> {
        let opened = self.session().await?.port(port).await;
        refused(opened, || format!("opening port {port}"))
    }

    async fn run(
        &self,
        command: &Command,
        on_stdout: &mut Take<'_>,
    ) -> Result<Ended, MachineError> {
        let session = self.session().await?;
        let target = self.target();
        let who = Who {
            user: &target.user,
            address: &target.address,
            sudo_password: target.sudo_password.clone(),
            environment: &target.environment,
        };
        exec::run(&session, command, who, on_stdout).await
    }

    /// The path with `~/` replaced, for commands that run as another user.
    async fn absolute(&self, path: &str) -> Result<String, MachineError> {
        if !path.starts_with("~/") {
            return Ok(path.to_owned());
        }
        Ok(self.session().await?.sftp().await?.absolute(path))
    }
}

fn refused(
    opened: Result<SshStream, OpenError>,
    during: impl FnOnce() -> String,
) -> Result<Result<SshStream, russh::ChannelOpenFailure>, MachineError> {
    match opened {
        Ok(stream) => Ok(Ok(stream)),
        Err(OpenError::Refused(reason)) => Ok(Err(reason)),
        Err(OpenError::Lost) => Err(error::lost(during())),
    }
}

#[async_trait]
impl Machine for SshMachine {
    fn name(&self) -> &str {
        &self.name
    }

    async fn exec(&self, command: &Command) -> Result<Output, MachineError> {
        let mut stdout = Vec::new();
        let mut take = |bytes: &[u8]| {
            stdout.extend_from_slice(bytes);
            if stdout.len() > command.most {
                return Err(TooLong::Output);
            }
            Ok(())
        };
        let ended = self.run(command, &mut take).await?;
        Ok(Output {
            status: ended.status,
            stdout,
            stderr: ended.stderr,
        })
    }

    async fn lines(
        &self,
        command: &Command,
        on_line: &mut (dyn for<'l> FnMut(&'l str) + Send),
    ) -> Result<Output, MachineError> {
        let mut rest: Vec<u8> = Vec::new();
        let mut cut = |bytes: &[u8]| {
            for part in bytes.split_inclusive(|b| *b == b'\n') {
                rest.extend_from_slice(part);
                if rest.last() == Some(&b'\n') {
                    let line = std::mem::take(&mut rest);
                    let line = &line[..line.len() - 1];
                    on_line(&String::from_utf8_lossy(
                        line.strip_suffix(b"\r").unwrap_or(line),
                    ));
                } else if rest.len() > LONGEST_LINE {
                    return Err(TooLong::Line);
                }
            }
            Ok(())
        };
        let ended = self.run(command, &mut cut).await?;
        if !rest.is_empty() {
            on_line(&String::from_utf8_lossy(&rest));
        }
        Ok(Output {
            status: ended.status,
            stdout: Vec::new(),
            stderr: ended.stderr,
        })
    }

    async fn read(&self, path: &str, sudo: bool) -> Result<Option<Vec<u8>>, MachineError> {
        if !sudo {
            return self.session().await?.sftp().await?.read(path).await;
        }
        let path = self.absolute(path).await?;
        let output = self
            .exec(
                &Command::new("sh", ["-c", READ, "sh", &path])
                    .most(MOST_FILE)
                    .sudo(),
            )
            .await;
        let output = match output {
            Err(MachineError::TooMuch { most, .. }) => {
                return Err(MachineError::FileTooLarge { path, most });
            }
            other => other?,
        };
        match output.status {
            0 => Ok(Some(output.stdout)),
            NO_FILE => Ok(None),
            _ => Err(MachineError::File {
                act: "read",
                path,
                detail: last_line(&output),
            }),
        }
    }

    async fn write(&self, file: &RemoteFile) -> Result<(), MachineError> {
        if !file.sudo {
            let sftp = self.session().await?.sftp().await?;
            let mut source = file.content.as_slice();
            return sftp
                .write(&file.path, file.mode, &mut source, &mut |_| {})
                .await;
        }
        let path = self.absolute(&file.path).await?;
        let mode = format!("{:o}", file.mode);
        let command = Command::new("sh", ["-c", WRITE, "sh", &path, &mode])
            .stdin(file.content.clone())
            .sudo();
        let output = self.exec(&command).await?;
        if output.ok() {
            return Ok(());
        }
        if output.error_text().contains("No space left on device") {
            return Err(MachineError::DiskFull { path });
        }
        Err(MachineError::File {
            act: "write",
            path,
            detail: last_line(&output),
        })
    }

    async fn upload(
        &self,
        local: &Path,
        path: &str,
        mode: u32,
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError> {
        let mut source = tokio::fs::File::open(local)
            .await
            .map_err(|e| MachineError::File {
                act: "read",
                path: local.display().to_string(),
                detail: e.to_string(),
            })?;
        let sftp = self.session().await?.sftp().await?;
        sftp.write(path, mode, &mut source, on_progress).await
    }

    async fn reconnect(&self) {
        // Calls under way keep the old connection until they have ended.
        *self.session.lock().await = None;
    }
}

/// What the command said last, for the cause of a problem.
fn last_line(output: &Output) -> String {
    let text = output.error_text();
    match text.lines().last() {
        Some(line) => line.trim_end_matches('.').to_owned(),
        None => format!("the command ended with status {}", output.status),
    }
}
