//! Logging in: the ways a target names, in their order, within what the server allows.

use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey};
use russh::{MethodKind, MethodSet};
use tandem_domain::ports::{MachineError, PassedOver};
use tandem_domain::secret::Secret;

use super::config::AgentChoice;
use super::host_key_check::HostKeyCheck;
use super::target::{Auth, SshTarget};
use super::{agent, error, key_file};

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
        tried: Vec::new(),
        passed_over: Vec::new(),
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
    /// The keys that were offered; none is offered twice.
    tried: Vec<PublicKey>,
    /// What could not be offered.
    passed_over: Vec<PassedOver>,
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
                Auth::KeyFile(path) => match key_file::private(path) {
                    Ok(key) => self.key(key).await?,
                    Err(why) => {
                        // One whose public half was offered by the agent is not in the way.
                        let public = key_file::public(path);
                        if !public.is_some_and(|key| self.was_tried(&key)) {
                            self.passed_over.push(why);
                        }
                        Attempt::Refused
                    }
                },
                Auth::AgentKeys { agent, of } => {
                    let wanted: Vec<PublicKey> = of
                        .iter()
                        .filter_map(|path| key_file::public(path))
                        .collect();
                    self.agent(agent, Some(&wanted)).await?
                }
                Auth::Agent(agent) => self.agent(agent, None).await?,
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
        if self.handle.is_closed() && self.tried.len() < MOST_KEYS {
            return Err(error::lost("logging in"));
        }
        Err(MachineError::KeyRefused {
            user,
            address,
            tried: self.tried.len(),
            passed_over: std::mem::take(&mut self.passed_over),
        })
    }

    fn was_tried(&self, key: &PublicKey) -> bool {
        self.tried.iter().any(|t| t.key_data() == key.key_data())
    }

    /// Offers one key, unless the server would end the connection for it.
    async fn key(&mut self, key: Arc<russh::keys::PrivateKey>) -> Result<Attempt, MachineError> {
        if self.tried.len() == MOST_KEYS || self.was_tried(key.public_key()) {
            return Ok(Attempt::Refused);
        }
        self.tried.push(key.public_key().clone());
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

    /// Offers the agent's keys: all, or those that are wanted, in that order. An agent that is not there holds none.
    async fn agent(
        &mut self,
        choice: &AgentChoice,
        wanted: Option<&[PublicKey]>,
    ) -> Result<Attempt, MachineError> {
        if wanted.is_some_and(<[_]>::is_empty) {
            return Ok(Attempt::Refused);
        }
        let Some((mut agent, held)) = agent::keys(choice).await else {
            if let AgentChoice::Socket(path) = choice {
                let silent = PassedOver::SilentAgent {
                    path: path.display().to_string(),
                };
                if !self.passed_over.contains(&silent) {
                    self.passed_over.push(silent);
                }
            }
            return Ok(Attempt::Refused);
        };
        let holds = |key: &&PublicKey| held.iter().any(|h| h.key_data() == key.key_data());
        let keys: Vec<PublicKey> = match wanted {
            Some(wanted) => wanted.iter().filter(holds).cloned().collect(),
            None => held,
        };
        for key in keys {
            if self.tried.len() == MOST_KEYS {
                break;
            }
            if self.was_tried(&key) {
                continue;
            }
            self.tried.push(key.clone());
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
