//! One SSH connection: greeting, host key, login, and the channels over it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse, Msg};
use russh::keys::{Algorithm, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, MethodKind, MethodSet};
use tandem_domain::ports::MachineError;
use tandem_domain::secret::Secret;
use tokio::net::TcpStream;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::agent;
use super::error;
use super::sftp::Sftp;
use super::target::{Auth, HostKey, HostPin, SshTarget};

/// A byte stream through the machine: to a socket or to a port of its loopback.
pub type SshStream = russh::ChannelStream<Msg>;

/// How long the TCP connection, and then the greeting, may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the server may think about a login. PAM delays a wrong password by a few seconds.
const LOGIN_PATIENCE: Duration = Duration::from_secs(30);
/// Silence after which the server is asked whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(5);
/// Unanswered questions after which it is not.
const KEEPALIVES: usize = 3;
/// OpenSSH ends a connection at the sixth refusal; one is left for a password.
const MOST_KEYS: usize = 5;
/// OpenSSH allows ten sessions on one connection; one of them is for files, and one that is ending
/// may still be counted.
const MOST_COMMANDS: usize = 8;
/// How long a refused session is asked for again: those of commands that were ended with KILL are
/// counted until the machine has noticed.
const SESSION_PATIENCE: Duration = Duration::from_secs(5);

/// Reads the host key of the SSH server at this address. Nothing is sent but our greeting.
pub async fn probe(address: &str, port: u16) -> Result<HostKey, MachineError> {
    let shown = Arc::default();
    let greeter = Greeter {
        pin: None,
        shown: Arc::clone(&shown),
    };
    let outcome = greet(address, port, greeter).await;
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

/// Looks at the host key and lets the handshake go on only with the right one.
struct Greeter {
    pin: Option<HostPin>,
    shown: Arc<Mutex<Option<PublicKey>>>,
}

impl client::Handler for Greeter {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        // Certificates are not asked for, so none is shown.
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        if let Ok(mut shown) = self.shown.lock() {
            *shown = Some(key.clone());
        }
        Ok(self.pin.as_ref().is_some_and(|pin| pin.accepts(key)))
    }
}

async fn greet(
    address: &str,
    port: u16,
    greeter: Greeter,
) -> Result<Handle<Greeter>, MachineError> {
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
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES,
        window_size: 8 << 20,
        channel_buffer_size: 1024,
        ..client::Config::default()
    };
    if let Some(algorithm) = greeter.pin.as_ref().and_then(HostPin::algorithm) {
        config.preferred.key = Cow::Owned(first(algorithm, &config.preferred.key));
    }
    let handshake = client::connect_stream(Arc::new(config), stream, greeter);
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

/// The same list with the pinned kind in front, so that a machine with several keys shows that one.
fn first(wanted: &Algorithm, list: &[Algorithm]) -> Vec<Algorithm> {
    let is_wanted = |a: &&Algorithm| match wanted {
        Algorithm::Rsa { .. } => matches!(a, Algorithm::Rsa { .. }),
        other => *a == other,
    };
    let front = list.iter().filter(is_wanted);
    let rest = list.iter().filter(|a| !is_wanted(a));
    front.chain(rest).cloned().collect()
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
    handle: Arc<Handle<Greeter>>,
    commands: Arc<Semaphore>,
    sftp: OnceCell<Arc<Sftp>>,
}

impl Session {
    /// Connects, compares the host key and logs in.
    pub(super) async fn open(target: &SshTarget) -> Result<Self, MachineError> {
        let shown = Arc::default();
        let greeter = Greeter {
            pin: Some(target.host_key.clone()),
            shown: Arc::clone(&shown),
        };
        let mut handle = match greet(&target.address, target.port, greeter).await {
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
        Login {
            handle: &mut handle,
            target,
            keys_tried: 0,
        }
        .run()
        .await?;
        Ok(Self {
            handle: Arc::new(handle),
            commands: Arc::new(Semaphore::new(MOST_COMMANDS)),
            sftp: OnceCell::new(),
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
        match opening.await {
            Ok(Ok(channel)) => Ok(channel),
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
            let channel = self
                .handle
                .channel_open_session()
                .await
                .map_err(|_| error::lost("opening the file transfer"))?;
            Sftp::open(channel).await.map(Arc::new)
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
    match opening.await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(russh::Error::ChannelOpenFailure(reason))) => Err(OpenError::Refused(reason)),
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

/// The attempts to log in.
struct Login<'a> {
    handle: &'a mut Handle<Greeter>,
    target: &'a SshTarget,
    keys_tried: usize,
}

/// What became of one attempt.
enum Attempt {
    In,
    Refused,
}

impl Login<'_> {
    async fn run(&mut self) -> Result<(), MachineError> {
        let steps = self.steps();
        match tokio::time::timeout(LOGIN_PATIENCE, steps).await {
            Ok(outcome) => outcome,
            Err(_) => Err(error::lost("logging in")),
        }
    }

    async fn steps(&mut self) -> Result<(), MachineError> {
        let user = self.target.user.clone();
        let methods = match self.handle.authenticate_none(&user).await {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) => remaining_methods,
            Err(_) => return Err(error::lost("logging in")),
        };
        let mut password_refused = false;
        for auth in &self.target.auth {
            let attempt = match auth {
                Auth::OwnKey(key) => self.key(key.private()).await?,
                Auth::KeyFile(path) => match russh::keys::load_secret_key(path, None) {
                    Ok(key) => self.key(Arc::new(key)).await?,
                    Err(e) => {
                        tracing::info!(path = %path.display(), error = %e, "key file passed over");
                        Attempt::Refused
                    }
                },
                Auth::Agent(socket) => self.agent(socket.as_deref()).await?,
                Auth::Password(password) => {
                    let attempt = self.password(password, &methods).await?;
                    password_refused |= attempt.is_some();
                    attempt.unwrap_or(Attempt::Refused)
                }
            };
            if matches!(attempt, Attempt::In) {
                return Ok(());
            }
            if self.handle.is_closed() {
                break;
            }
        }
        let address = self.target.address.clone();
        if password_refused {
            return Err(MachineError::WrongPassword { user, address });
        }
        if self.handle.is_closed() && self.keys_tried < MOST_KEYS {
            return Err(error::lost("logging in"));
        }
        Err(MachineError::KeyRefused {
            user,
            address,
            tried: self.keys_tried,
        })
    }

    /// Offers one key, unless the server would end the connection for it.
    async fn key(&mut self, key: Arc<russh::keys::PrivateKey>) -> Result<Attempt, MachineError> {
        if self.keys_tried == MOST_KEYS {
            return Ok(Attempt::Refused);
        }
        self.keys_tried += 1;
        let hash = match key.algorithm() {
            Algorithm::Rsa { .. } => self
                .handle
                .best_supported_rsa_hash()
                .await
                .ok()
                .flatten()
                .flatten(),
            _ => None,
        };
        let key = PrivateKeyWithHashAlg::new(key, hash);
        judge(
            self.handle
                .authenticate_publickey(&self.target.user, key)
                .await,
        )
    }

    /// Offers the agent's keys. An agent that is not there holds none.
    async fn agent(&mut self, socket: Option<&std::path::Path>) -> Result<Attempt, MachineError> {
        let Some((mut agent, keys)) = agent::keys(socket).await else {
            return Ok(Attempt::Refused);
        };
        for key in keys {
            if self.keys_tried == MOST_KEYS {
                break;
            }
            self.keys_tried += 1;
            let hash = match key.algorithm() {
                Algorithm::Rsa { .. } => self
                    .handle
                    .best_supported_rsa_hash()
                    .await
                    .ok()
                    .flatten()
                    .flatten(),
                _ => None,
            };
            let offered = self
                .handle
                .authenticate_publickey_with(&self.target.user, key, hash, &mut agent)
                .await;
            match offered {
                Ok(AuthResult::Success) => return Ok(Attempt::In),
                Ok(AuthResult::Failure { .. }) => {}
                Err(e) => tracing::info!(error = %e, "the agent did not sign"),
            }
            if self.handle.is_closed() {
                break;
            }
        }
        Ok(Attempt::Refused)
    }

    /// Sends the password by the method that the server takes; `None` if it takes none.
    async fn password(
        &mut self,
        password: &Secret,
        methods: &MethodSet,
    ) -> Result<Option<Attempt>, MachineError> {
        if methods.contains(&MethodKind::Password) {
            let answer = self
                .handle
                .authenticate_password(&self.target.user, password.reveal())
                .await;
            return judge(answer).map(Some);
        }
        if methods.contains(&MethodKind::KeyboardInteractive) {
            return self.answer_questions(password).await.map(Some);
        }
        Ok(None)
    }

    async fn answer_questions(&mut self, password: &Secret) -> Result<Attempt, MachineError> {
        let lost = |_| error::lost("logging in");
        let mut state = self
            .handle
            .authenticate_keyboard_interactive_start(&self.target.user, None::<String>)
            .await
            .map_err(lost)?;
        let mut given = false;
        loop {
            let prompts = match state {
                KeyboardInteractiveAuthResponse::Success => return Ok(Attempt::In),
                KeyboardInteractiveAuthResponse::Failure { .. } => return Ok(Attempt::Refused),
                KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
            };
            let hidden = prompts.iter().any(|p| !p.echo);
            if hidden && given {
                // It asks again: the password was not the answer.
                return Ok(Attempt::Refused);
            }
            given |= hidden;
            let answer = |echo: bool| {
                if echo {
                    String::new()
                } else {
                    password.reveal().to_owned()
                }
            };
            let answers = prompts.iter().map(|p| answer(p.echo)).collect();
            state = self
                .handle
                .authenticate_keyboard_interactive_respond(answers)
                .await
                .map_err(lost)?;
        }
    }
}

fn judge(answer: Result<AuthResult, russh::Error>) -> Result<Attempt, MachineError> {
    match answer {
        Ok(AuthResult::Success) => Ok(Attempt::In),
        Ok(AuthResult::Failure { .. }) => Ok(Attempt::Refused),
        Err(_) => Err(error::lost("logging in")),
    }
}
