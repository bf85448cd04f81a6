//! Logging in: the ways a target names, in their order, within what the server allows.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};
use tandem_domain::ports::MachineError;
use tandem_domain::secret::Secret;

use super::host_key_check::HostKeyCheck;
use super::target::{Auth, SshTarget};
use super::{agent, error};

/// How long the server may think about a login. PAM delays a wrong password by a few seconds.
const LOGIN_PATIENCE: Duration = Duration::from_secs(30);
/// OpenSSH ends a connection at the sixth refusal; one is left for a password.
const MOST_KEYS: usize = 5;

/// A password, a second factor and the words around them are asked for in fewer turns.
const MOST_QUESTIONS: usize = 8;

/// Logs in on a connection whose host key was compared.
pub(super) async fn login(
    handle: &mut Handle<HostKeyCheck>,
    target: &SshTarget,
) -> Result<(), MachineError> {
    let mut login = Login {
        handle,
        target,
        keys_tried: 0,
    };
    match tokio::time::timeout(LOGIN_PATIENCE, login.steps()).await {
        Ok(outcome) => outcome,
        Err(_) => Err(error::lost("logging in")),
    }
}

/// The attempts to log in.
struct Login<'a> {
    handle: &'a mut Handle<HostKeyCheck>,
    target: &'a SshTarget,
    keys_tried: usize,
}

/// What became of one attempt.
enum Attempt {
    In,
    Refused,
}

impl Login<'_> {
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
        let hash = self.hash_for(&key.algorithm()).await;
        let key = PrivateKeyWithHashAlg::new(key, hash);
        judge(
            self.handle
                .authenticate_publickey(&self.target.user, key)
                .await,
        )
    }

    /// What an RSA key signs with: the best that the server takes. Other keys have one way only.
    async fn hash_for(&self, algorithm: &Algorithm) -> Option<HashAlg> {
        if !matches!(algorithm, Algorithm::Rsa { .. }) {
            return None;
        }
        let best = self.handle.best_supported_rsa_hash().await;
        best.ok().flatten().flatten()
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
            let hash = self.hash_for(&key.algorithm()).await;
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
        for _ in 0..MOST_QUESTIONS {
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
        Ok(Attempt::Refused)
    }
}

fn judge(answer: Result<AuthResult, russh::Error>) -> Result<Attempt, MachineError> {
    match answer {
        Ok(AuthResult::Success) => Ok(Attempt::In),
        Ok(AuthResult::Failure { .. }) => Ok(Attempt::Refused),
        Err(_) => Err(error::lost("logging in")),
    }
}
