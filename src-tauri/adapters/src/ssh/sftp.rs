//! Files on a machine, by SFTP: whole reads, and writes that a reader sees all or nothing of.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use russh_sftp::client::error::Error as SftpError;
use russh_sftp::client::{Config, RawSftpSession};
use russh_sftp::extensions::FSYNC;
use russh_sftp::protocol::{FileAttributes, OpenFlags, Packet, StatusCode};
use tandem_domain::ports::MachineError;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::sync::CancellationToken;

use super::after_shell::{AfterShell, Before};
use super::error;
use super::opening::MOST_BEFORE;

/// Replaces the target, which SFTP's own rename refuses to do.
const POSIX_RENAME: &str = "posix-rename@openssh.com";
/// Bytes in one request: what every server takes.
const CHUNK: usize = 32 * 1024;
/// Requests under way at once; with the chunk, enough for a gigabit at 4 ms.
const DEPTH: usize = 16;
/// A disk that flushes gigabytes takes its time to answer.
const ANSWER_SECONDS: u64 = 120;

/// How long the file transfer may take to open.
const OPEN_PATIENCE: Duration = Duration::from_secs(30);
/// How long a file that is read may take to come.
const READ_PATIENCE: Duration = Duration::from_secs(120);
/// The largest file that is read. The index of a checkpoint with hundreds of thousands of tensors has 30 MB.
pub(super) const MOST_FILE: usize = 64 << 20;

/// The file transfer of one connection.
pub(super) struct Sftp {
    raw: RawSftpSession,
    home: String,
    posix_rename: bool,
    fsync: bool,
    ended: CancellationToken,
}

/// What comes of `work`, or none once the stream has ended. A request that is made in the moment in which the
/// client gives the stream up is answered by nobody and would wait for its whole time.
async fn while_open<T>(ended: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        outcome = work => Some(outcome),
        () = ended.cancelled() => None,
    }
}

impl Sftp {
    /// Opens the file transfer on a channel. `user` is named where the login shell stands in the way.
    pub(super) async fn open(channel: Channel<Msg>, user: &str) -> Result<Self, MachineError> {
        let opening = Self::begin(channel, user);
        match tokio::time::timeout(OPEN_PATIENCE, opening).await {
            Ok(outcome) => outcome,
            Err(_) => Err(error::lost("opening the file transfer")),
        }
    }

    async fn begin(mut channel: Channel<Msg>, user: &str) -> Result<Self, MachineError> {
        let during = || error::lost("opening the file transfer");
        let none = || MachineError::File {
            act: "open",
            path: "sftp".to_owned(),
            detail: "the SSH server offers no file transfer".to_owned(),
        };
        channel
            .request_subsystem(true, "sftp")
            .await
            .map_err(|_| during())?;
        let mut early = Vec::new();
        loop {
            match channel.wait().await {
                Some(ChannelMsg::Success) => break,
                Some(ChannelMsg::Failure) => return Err(none()),
                Some(ChannelMsg::Data { data }) if early.len() <= MOST_BEFORE => {
                    early.extend_from_slice(&data);
                }
                Some(ChannelMsg::WindowAdjusted { .. }) => {}
                _ => return Err(during()),
            }
        }
        let config = Config {
            request_timeout_secs: ANSWER_SECONDS,
            ..Config::default()
        };
        let before = Before::default();
        let stream = AfterShell::new(channel.into_stream(), early, before.clone());
        let ended = stream.ended();
        let raw = RawSftpSession::new_with_config(stream, config);
        let Some(Ok(version)) = while_open(&ended, raw.init()).await else {
            return Err(match before.said() {
                said if said.is_empty() => none(),
                said => error::shell(user, &said),
            });
        };
        let has = |name: &str| version.extensions.contains_key(name);
        let (posix_rename, fsync) = (has(POSIX_RENAME), has(FSYNC));
        let Some(Ok(names)) = while_open(&ended, raw.realpath(".")).await else {
            return Err(during());
        };
        let home = names
            .files
            .into_iter()
            .next()
            .map(|f| f.filename)
            .ok_or_else(during)?;
        Ok(Self {
            raw,
            home,
            posix_rename,
            fsync,
            ended,
        })
    }

    /// The path with `~/` replaced by the user's home folder.
    pub(super) fn absolute(&self, path: &str) -> String {
        match path.strip_prefix("~/") {
            Some(rest) => format!("{}/{rest}", self.home.trim_end_matches('/')),
            None => path.to_owned(),
        }
    }

    /// Reads a whole file; `None` where there is none. One of more than [`MOST_FILE`] bytes is an error.
    pub(super) async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, MachineError> {
        let path = self.absolute(path);
        let content = while_open(&self.ended, self.content(&path));
        match tokio::time::timeout(READ_PATIENCE, content).await {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Err(error::lost(format!("trying to read `{path}`"))),
            Err(_) => Err(MachineError::File {
                act: "read",
                path,
                detail: format!(
                    "it had not come in full after {} s",
                    READ_PATIENCE.as_secs()
                ),
            }),
        }
    }

    async fn content(&self, path: &str) -> Result<Option<Vec<u8>>, MachineError> {
        let failed = |e: &SftpError| error::file(e, "read", path);
        let handle = match self
            .raw
            .open(path, OpenFlags::READ, FileAttributes::empty())
            .await
        {
            Ok(handle) => handle.handle,
            Err(e) if error::is_missing(&e) => return Ok(None),
            Err(e) => return Err(failed(&e)),
        };
        let mut content = Vec::new();
        let outcome = loop {
            // In order, because the size that files under /proc and /sys state is made up.
            match self
                .raw
                .read(&handle, content.len() as u64, 4 * CHUNK as u32)
                .await
            {
                // An answer without bytes is no end, and asking again would go on for ever.
                Ok(data) if data.data.is_empty() => {
                    break Err(MachineError::File {
                        act: "read",
                        path: path.to_owned(),
                        detail: "the machine sent a part without a byte in it".to_owned(),
                    });
                }
                Ok(data) => content.extend_from_slice(&data.data),
                Err(e) if error::is_eof(&e) => break Ok(Some(content)),
                Err(e) => break Err(failed(&e)),
            }
            if content.len() > MOST_FILE {
                break Err(MachineError::FileTooLarge {
                    path: path.to_owned(),
                    most: MOST_FILE,
                });
            }
        };
        // The content is here; a handle that does not close ends with the connection.
        let _ = self.raw.close(handle).await;
        outcome
    }

    /// Writes a file beside its target, flushes it and renames it.
    pub(super) async fn write(
        self: &Arc<Self>,
        path: &str,
        mode: u32,
        source: &mut (dyn AsyncRead + Unpin + Send),
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), MachineError> {
        let path = self.absolute(path);
        let (folder, name) = path.rsplit_once('/').unwrap_or((".", &path));
        let mut temp = Temp {
            sftp: Some(Arc::clone(self)),
            path: format!("{folder}/.{name}.{:016x}", rand::random::<u64>()),
            handle: None,
        };
        let work = async {
            self.fill(&mut temp, folder, mode, source, on_progress)
                .await?;
            Ok(self.rename(&temp.path, &path).await?)
        };
        let Some(outcome) = while_open(&self.ended, work).await else {
            return Err(error::lost(format!("trying to write `{path}`")));
        };
        match outcome {
            Ok(()) => {
                temp.sftp = None;
                Ok(())
            }
            Err(Failure::Local(e)) => Err(MachineError::File {
                act: "read",
                path: "the local file".to_owned(),
                detail: e.to_string(),
            }),
            Err(Failure::Sftp(e)) => {
                if error::is_plain_failure(&e) && self.is_full(folder).await {
                    return Err(MachineError::DiskFull { path });
                }
                Err(error::file(&e, "write", &path))
            }
        }
    }

    async fn fill(
        &self,
        temp: &mut Temp,
        folder: &str,
        mode: u32,
        source: &mut (dyn AsyncRead + Unpin + Send),
        on_progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Failure> {
        let handle = match self.create(&temp.path).await {
            Err(e) if error::is_missing(&e) => {
                self.make_folders(folder).await?;
                self.create(&temp.path).await?
            }
            other => other?,
        };
        temp.handle = Some(handle.clone());
        let mut in_flight = FuturesUnordered::new();
        let (mut offset, mut done, mut ended) = (0u64, 0u64, false);
        loop {
            while !ended && in_flight.len() < DEPTH {
                let mut chunk = Vec::with_capacity(CHUNK);
                let mut part = (&mut *source).take(CHUNK as u64);
                let n = part.read_to_end(&mut chunk).await.map_err(Failure::Local)?;
                ended = n < CHUNK;
                if n > 0 {
                    let write = self.raw.write(&handle, offset, chunk);
                    in_flight.push(async move { write.await.map(|_| n as u64) });
                    offset += n as u64;
                }
            }
            match in_flight.next().await {
                None => break,
                Some(written) => {
                    done += written?;
                    on_progress(done);
                }
            }
        }
        drop(in_flight);
        let attributes = FileAttributes {
            permissions: Some(mode),
            ..FileAttributes::empty()
        };
        self.raw.fsetstat(&handle, attributes).await?;
        if self.fsync {
            self.raw.fsync(&handle).await?;
        }
        temp.handle = None;
        self.raw.close(handle).await?;
        Ok(())
    }

    /// A new file that only the user may read until it is complete.
    async fn create(&self, path: &str) -> Result<String, SftpError> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUDE;
        let attributes = FileAttributes {
            permissions: Some(0o600),
            ..FileAttributes::empty()
        };
        Ok(self.raw.open(path, flags, attributes).await?.handle)
    }

    async fn make_folders(&self, folder: &str) -> Result<(), SftpError> {
        for (at, _) in folder
            .match_indices('/')
            .skip(1)
            .chain([(folder.len(), "")])
        {
            let part = &folder[..at];
            // sshd ignores keys in a folder that others may write to.
            let mode = if part.ends_with("/.ssh") {
                0o700
            } else {
                0o755
            };
            let attributes = FileAttributes {
                permissions: Some(mode),
                ..FileAttributes::empty()
            };
            if let Err(e) = self.raw.mkdir(part, attributes).await {
                // OpenSSH says only "failure" where the folder exists.
                if self.raw.stat(part).await.is_err() {
                    return Err(e);
                }
            }
        }
        Ok(())
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), SftpError> {
        if !self.posix_rename {
            // The target goes first; a reader may then see neither for a moment.
            let _ = self.raw.remove(to).await;
            return self.raw.rename(from, to).await.map(|_| ());
        }
        let mut data = Vec::with_capacity(from.len() + to.len() + 8);
        for text in [from, to] {
            data.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
            data.extend_from_slice(text.as_bytes());
        }
        match self.raw.extended(POSIX_RENAME, data).await? {
            Packet::Status(status) if status.status_code == StatusCode::Ok => Ok(()),
            Packet::Status(status) => Err(SftpError::Status(status)),
            _ => Err(SftpError::UnexpectedPacket),
        }
    }

    /// Whether the disk of this folder has no room for one more chunk.
    async fn is_full(&self, folder: &str) -> bool {
        match self.raw.statvfs(folder).await {
            Ok(disk) => {
                disk.blocks_avail.saturating_mul(disk.fragment_size) < (DEPTH * CHUNK) as u64
                    || (disk.inodes > 0 && disk.inodes_avail == 0)
            }
            Err(_) => false,
        }
    }
}

/// Why a write stopped.
enum Failure {
    Local(std::io::Error),
    Sftp(SftpError),
}

impl From<SftpError> for Failure {
    fn from(error: SftpError) -> Self {
        Self::Sftp(error)
    }
}

/// A file that is removed unless it got its name, also when the write was given up.
struct Temp {
    sftp: Option<Arc<Sftp>>,
    path: String,
    /// While it is open.
    handle: Option<String>,
}

impl Drop for Temp {
    fn drop(&mut self) {
        let Some(sftp) = self.sftp.take() else {
            return;
        };
        let (path, handle) = (std::mem::take(&mut self.path), self.handle.take());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            // Nobody waits for it any more, so there is nobody to tell.
            runtime.spawn(async move {
                if let Some(handle) = handle {
                    let _ = sftp.raw.close(handle).await;
                }
                let _ = sftp.raw.remove(path).await;
            });
        }
    }
}
