//! One SSH connection: greeting, host key, login, and the channels over it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use russh::client::{self, Handle, Msg};
use russh::keys::{Algorithm, PublicKey};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use tandem_domain::ports::MachineError;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::error;
use super::host_key_check::HostKeyCheck;
use super::known_hosts::{KnownHosts, same_kind};
use super::login::login;
use super::sftp::Sftp;
use super::target::{HostKey, SshTarget};

/// A byte stream through the machine: to a socket or to a port of its loopback.
pub type SshStream = russh::ChannelStream<Msg>;

/// How long the TCP connection, and then the greeting, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Silence after which the server is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Unanswered questions after which it is not.
const KEEPALIVES: usize = 3;
/// OpenSSH allows ten sessions on one connection; one of them is for files, and one that is ending
/// may still be counted.
const MOST_COMMANDS: usize = 8;
/// How long a channel may take to open.
const CHANNEL_PATIENCE: Duration = Duration::from_secs(30);
/// How long a refused session is asked for again: those of commands that were ended with KILL are
/// counted until the machine has noticed.
const SESSION_PATIENCE: Duration = Duration::from_secs(5);

/// Reads the host key of the SSH server at this address, if it can be of a kind by which the host is known. Nothing
/// is sent but our greeting.
pub async fn probe(address: &str, port: u16, known: &KnownHosts) -> Result<HostKey, MachineError> {
    let shown = Arc::default();
    let check = HostKeyCheck {
        pin: None,
        shown: Arc::clone(&shown),
    };
    let outcome = greet(address, port, check, known.kinds().collect()).await;
    match (take(&shown), outcome) {
        (Some(key), _) => Ok(HostKey::of(&key)),
        (None, Err(e)) => Err(e),
        (None, Ok(_)) => Err(MachineError::NotSsh {
            address: address.to_owned(),
            detail: "it showed no host key".to_owned(),
        }),
    }
}

fn take(shown: &Mutex<Option<PublicKey>>) -> Option<PublicKey> {
    shown.lock().ok().and_then(|mut key| key.take())
}

async fn greet(
    address: &str,
    port: u16,
    check: HostKeyCheck,
    first_kinds: Vec<Algorithm>,
) -> Result<Handle<HostKeyCheck>, MachineError> {
    let unreachable = |detail: String| MachineError::Unreachable {
        address: address.to_owned(),
        detail,
    };
    let stream = match tokio::time::timeout(PATIENCE, TcpStream::connect((address, port))).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(e)) => return Err(unreachable(plain(&e))),
        Err(_) => {
            return Err(unreachable(format!(
                "no answer within {} s",
                PATIENCE.as_secs()
            )));
        }
    };
    // Small packets must not wait for more: nearly everything here is a question and an answer.
    let _ = stream.set_nodelay(true);
    let mut config = client::Config {
        // Never compressed: a few bytes of the other side's would unpack to gigabytes here.
        preferred: russh::Preferred {
            compression: Cow::Borrowed(&[russh::compression::NONE]),
            ..russh::Preferred::default()
        },
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        window_size: 8 << 20,
        channel_buffer_size: 1024,
        ..client::Config::default()
    };
    config.preferred.key = Cow::Owned(kinds(&first_kinds, &config.preferred.key));
    let handshake = client::connect_stream(Arc::new(config), stream, check);
    match tokio::time::timeout(PATIENCE, handshake).await {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(e)) => Err(error::handshake(address, &e)),
        Err(_) => Err(MachineError::NotSsh {
            address: address.to_owned(),
            detail: format!(
                "it took the connection and said nothing for {} s",
                PATIENCE.as_secs()
            ),
        }),
    }
}

/// The same list with the wanted kinds in front, so that a machine with several keys shows one of these. RSA with
/// SHA-1 is not among them: its signatures can be forged.
fn kinds(wanted: &[Algorithm], list: &[Algorithm]) -> Vec<Algorithm> {
    let is_wanted = |a: &&Algorithm| wanted.iter().any(|w| same_kind(w, a));
    let front = list.iter().filter(is_wanted);
    let rest = list.iter().filter(|a| !is_wanted(a));
    let all = front.chain(rest);
    all.filter(|a| !matches!(a, Algorithm::Rsa { hash: None }))
        .cloned()
        .collect()
}

/// An I/O error without the number that the standard library adds.
fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_lowercase(),
        None => text,
    }
}

/// A connection on which the user is logged in.
pub(super) struct Session {
    handle: Arc<Handle<HostKeyCheck>>,
    commands: Arc<Semaphore>,
    sftp: OnceCell<Arc<Sftp>>,
    user: String,
}

impl Session {
    /// Connects, compares the host key and logs in.
    pub(super) async fn open(target: &SshTarget) -> Result<Self, MachineError> {
        let shown = Arc::default();
        let check = HostKeyCheck {
            pin: Some(target.host_key.clone()),
            shown: Arc::clone(&shown),
        };
        let pinned = target.host_key.algorithm().cloned();
        let greeting = greet(
            &target.address,
            target.port,
            check,
            pinned.into_iter().collect(),
        );
        let mut handle = match greeting.await {
            Ok(handle) => handle,
            Err(e) => {
                return Err(match take(&shown) {
                    Some(key) if !target.host_key.accepts(&key) => MachineError::HostKeyChanged {
                        address: target.address.clone(),
                        pinned: target.host_key.fingerprint().to_owned(),
                        shown: HostKey::of(&key).fingerprint,
                    },
                    _ => e,
                });
            }
        };
        login(&mut handle, target).await?;
        Ok(Self {
            handle: Arc::new(handle),
            commands: Arc::new(Semaphore::new(MOST_COMMANDS)),
            sftp: OnceCell::new(),
            user: target.user.clone(),
        })
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.handle.is_closed()
    }

    /// Opens a channel for one command.
    pub(super) async fn command_channel(&self) -> Result<CommandChannel, MachineError> {
        let permit = Arc::clone(&self.commands)
            .acquire_owned()
            .await
            .map_err(|_| error::lost("waiting for a free channel"))?;
        let handle = Arc::clone(&self.handle);
        // In a task of its own: if the caller goes away in between, the channel is closed, not left.
        let opening = tokio::spawn(async move {
            let start = Instant::now();
            let channel = loop {
                match handle.channel_open_session().await {
                    Err(russh::Error::ChannelOpenFailure(_))
                        if start.elapsed() < SESSION_PATIENCE =>
                    {
                        tokio::time::sleep(SESSION_PATIENCE / 50).await;
                    }
                    other => break other?,
                }
            };
            let (read, write) = channel.split();
            Ok::<_, russh::Error>(CommandChannel {
                read: Some(read),
                write: Arc::new(write),
                permit: Some(permit),
            })
        });
        match tokio::time::timeout(CHANNEL_PATIENCE, opening).await {
            Ok(Ok(Ok(channel))) => Ok(channel),
            _ => Err(error::lost("opening a channel")),
        }
    }

    /// Opens a stream to a socket on the machine.
    pub(super) async fn socket(&self, path: &str) -> Result<SshStream, OpenError> {
        let (handle, path) = (Arc::clone(&self.handle), path.to_owned());
        stream(tokio::spawn(async move {
            handle
                .channel_open_direct_streamlocal(path)
                .await
                .map(Channel::into_stream)
        }))
        .await
    }

    /// Opens a stream to a port of the machine's loopback.
    pub(super) async fn port(&self, port: u16) -> Result<SshStream, OpenError> {
        let handle = Arc::clone(&self.handle);
        stream(tokio::spawn(async move {
            let open =
                handle.channel_open_direct_tcpip("127.0.0.1", u32::from(port), "127.0.0.1", 0);
            open.await.map(Channel::into_stream)
        }))
        .await
    }

    /// The connection's file transfer, opened at its first use.
    pub(super) async fn sftp(&self) -> Result<Arc<Sftp>, MachineError> {
        let open = || async {
            let lost = || error::lost("opening the file transfer");
            let opening = self.handle.channel_open_session();
            let opened = tokio::time::timeout(CHANNEL_PATIENCE, opening).await;
            let channel = opened.map_err(|_| lost())?.map_err(|_| lost())?;
            Sftp::open(channel, &self.user).await.map(Arc::new)
        };
        self.sftp.get_or_try_init(open).await.cloned()
    }
}

/// Why a stream was not opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// The server said no: nothing listens there, or it may not be reached.
    Refused(russh::ChannelOpenFailure),
    /// The connection ended.
    Lost,
}

async fn stream(
    opening: tokio::task::JoinHandle<Result<SshStream, russh::Error>>,
) -> Result<SshStream, OpenError> {
    match tokio::time::timeout(CHANNEL_PATIENCE, opening).await {
        Ok(Ok(Ok(stream))) => Ok(stream),
        Ok(Ok(Err(russh::Error::ChannelOpenFailure(reason)))) => Err(OpenError::Refused(reason)),
        _ => Err(OpenError::Lost),
    }
}

/// A channel that is closed when it is dropped, which ends what runs behind it.
pub(super) struct CommandChannel {
    read: Option<ChannelReadHalf>,
    write: Arc<ChannelWriteHalf<Msg>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl CommandChannel {
    /// The next message; `None` when the connection has ended.
    pub(super) async fn wait(&mut self) -> Option<ChannelMsg> {
        match &mut self.read {
            Some(read) => read.wait().await,
            None => None,
        }
    }

    /// The side to send on.
    pub(super) fn writer(&self) -> Arc<ChannelWriteHalf<Msg>> {
        Arc::clone(&self.write)
    }
}

impl Drop for CommandChannel {
    fn drop(&mut self) {
        let write = Arc::clone(&self.write);
        let (read, permit) = (self.read.take(), self.permit.take());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                // An error means that the connection, and with it the channel, is gone already.
                let _ = write.close().await;
                let Some(mut read) = read else {
                    return;
                };
                let closed = async {
                    while let Some(message) = read.wait().await {
                        if matches!(message, ChannelMsg::Close) {
                            break;
                        }
                    }
                };
                let _ = tokio::time::timeout(SESSION_PATIENCE, closed).await;
                // Only now is there room for another.
                drop(permit);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use russh::Preferred;
    use russh::keys::Algorithm;

    use super::kinds;

    #[test]
    fn the_known_kind_is_asked_for_first_and_sha1_never() {
        let list = Preferred::DEFAULT.key;
        assert!(
            list.contains(&Algorithm::Rsa { hash: None }),
            "the library would"
        );
        let asked = kinds(&[Algorithm::Rsa { hash: None }], &list);
        assert!(
            matches!(asked[0], Algorithm::Rsa { hash: Some(_) }),
            "{asked:?}"
        );
        assert!(!asked.contains(&Algorithm::Rsa { hash: None }));
        assert_eq!(asked.len(), list.len() - 1);
    }
}
