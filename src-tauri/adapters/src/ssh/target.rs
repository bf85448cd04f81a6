//! Where a machine is, which host key it must show and how one logs in there.

use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg, PublicKey};
use tandem_domain::secret::Secret;

use super::config::{AgentChoice, ConfigHost};
use super::keys::OwnKey;

/// A host key as a person compares it and as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    /// For example `ssh-ed25519`.
    pub algorithm: String,
    /// `SHA256:…`, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// The whole key as it stands in `known_hosts`, without the host.
    pub openssh_line: String,
}

impl HostKey {
    pub(super) fn of(key: &PublicKey) -> Self {
        Self {
            algorithm: key.algorithm().to_string(),
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            openssh_line: key.to_openssh().unwrap_or_default(),
        }
    }
}

/// The host key that a machine must show before anything is sent to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPin {
    fingerprint: String,
    algorithm: Option<Algorithm>,
}

/// The text is neither a fingerprint nor a public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a SHA256 fingerprint nor a public key")]
pub struct NotAHostKey(pub String);

impl HostPin {
    /// Reads a pinned key: an OpenSSH line (`ssh-ed25519 AAAA…`) or a fingerprint (`SHA256:…`).
    /// The line is better: it also makes a machine with several keys show this one.
    pub fn parse(text: &str) -> Result<Self, NotAHostKey> {
        let text = text.trim();
        if let Some(hash) = text.strip_prefix("SHA256:") {
            let plain = hash.trim_end_matches('=');
            let fits = plain.len() == 43
                && plain
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
            return if fits {
                Ok(Self {
                    fingerprint: format!("SHA256:{plain}"),
                    algorithm: None,
                })
            } else {
                Err(NotAHostKey(text.to_owned()))
            };
        }
        let key = PublicKey::from_openssh(text).map_err(|_| NotAHostKey(text.to_owned()))?;
        Ok(Self {
            fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            algorithm: Some(key.algorithm()),
        })
    }

    /// The fingerprint, `SHA256:…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn algorithm(&self) -> Option<&Algorithm> {
        self.algorithm.as_ref()
    }

    pub(super) fn accepts(&self, key: &PublicKey) -> bool {
        key.fingerprint(HashAlg::Sha256).to_string() == self.fingerprint
    }
}

impl From<&HostKey> for HostPin {
    fn from(key: &HostKey) -> Self {
        Self::parse(&key.openssh_line).unwrap_or_else(|_| Self {
            fingerprint: key.fingerprint.clone(),
            algorithm: None,
        })
    }
}

/// One way to log in. They are tried in the order given.
#[derive(Debug, Clone)]
pub enum Auth {
    /// The key that Tandem made for itself.
    OwnKey(Arc<OwnKey>),
    /// A private key of the person's. One that is locked by a passphrase is passed over: an agent
    /// is the way to use it.
    KeyFile(PathBuf),
    /// Those of the agent's keys that belong to these files, private or public, in the files' order.
    AgentKeys {
        /// Which agent.
        agent: AgentChoice,
        /// The files.
        of: Vec<PathBuf>,
    },
    /// All keys that an agent holds.
    Agent(AgentChoice),
    /// The user's password, by `password` or, where the server wants that, `keyboard-interactive`.
    Password(Secret),
}

impl Auth {
    /// The person's own keys for this host, in an order that is OpenSSH's but for one thing: where keys are named,
    /// they come before the other keys of the agent, so that a full agent does not use up the server's patience.
    /// `default_keys` are those that count where none is named.
    pub fn of_person(host: &ConfigHost, default_keys: &[PathBuf]) -> Vec<Self> {
        let agent = || host.agent.clone();
        let is_named = !host.identity_files.is_empty();
        let files = if is_named {
            &host.identity_files[..]
        } else {
            default_keys
        };
        let of_files = Self::AgentKeys {
            agent: agent(),
            of: files.to_vec(),
        };
        let files = files.iter().cloned().map(Self::KeyFile);
        let all = (!host.identities_only).then(|| Self::Agent(agent()));
        let first = std::iter::once(of_files);
        if is_named {
            first.chain(files).chain(all).collect()
        } else {
            first.chain(all).chain(files).collect()
        }
    }
}

/// A machine to be reached.
#[derive(Debug, Clone)]
pub struct SshTarget {
    /// The name people know it by.
    pub name: String,
    /// A host name or an IP address.
    pub address: String,
    /// 22 on a Spark.
    pub port: u16,
    /// The user there.
    pub user: String,
    /// The key it must show.
    pub host_key: HostPin,
    /// The ways to log in, in order.
    pub auth: Vec<Auth>,
    /// What sudo is told when it asks.
    pub sudo_password: Option<Secret>,
    /// What every command finds in its environment besides the machine's own.
    pub environment: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::HostPin;

    const LINE: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f someone@here";

    #[test]
    fn a_line_and_its_fingerprint_pin_the_same_key() {
        let line = HostPin::parse(LINE).expect("a key line");
        let print = HostPin::parse(line.fingerprint()).expect("its fingerprint");
        assert_eq!(line.fingerprint(), print.fingerprint());
        assert!(
            line.algorithm().is_some(),
            "the line tells which kind of key to ask for"
        );
    }

    #[test]
    fn anything_else_pins_nothing() {
        for text in [
            "",
            "SHA256:",
            "SHA256:short",
            "MD5:00:11",
            "ssh-ed25519 notbase64",
        ] {
            assert!(HostPin::parse(text).is_err(), "`{text}` is no key");
        }
    }
}
