//! The person's `~/.ssh/config`: the names they already use for their machines, and how their own ssh would get there.
//!
//! Two readers. [`hosts`] reads the files itself, to list names: nothing is run for it. [`host`] asks `ssh -G` where
//! there is an ssh, because only that knows every keyword, `Match` and the system's configuration. It evaluates
//! `Match exec` too, so it runs what the person's own `ssh` to this host would run, and nothing else. Without an
//! ssh program the files are read here, and what cannot be decided so is refused instead of passed over.

#[cfg(unix)]
mod ask_ssh;
mod file;

use std::path::{Path, PathBuf};

pub use file::hosts;

/// The files in which OpenSSH looks for keys where the configuration names none, in its order.
const DEFAULT_KEYS: [&str; 5] = [
    "id_rsa",
    "id_ecdsa",
    "id_ecdsa_sk",
    "id_ed25519",
    "id_ed25519_sk",
];

/// One name of the configuration with what stands for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigHost {
    /// The name after `Host`, or what was typed.
    pub alias: String,
    /// Where it is; the alias itself if the file does not say.
    pub host_name: String,
    /// The port, where given.
    pub port: Option<u16>,
    /// The user, where given.
    pub user: Option<String>,
    /// Private keys that are named, in order. Empty where none is.
    pub identity_files: Vec<PathBuf>,
    /// Whether only these may be offered (`IdentitiesOnly`), from the agent too.
    pub identities_only: bool,
    /// The agent that holds keys.
    pub agent: AgentChoice,
    /// The name under which its host key is known (`HostKeyAlias`).
    pub host_key_alias: Option<String>,
    /// The files of known host keys, the user's first.
    pub known_hosts: Vec<PathBuf>,
    /// The `ProxyJump` or `ProxyCommand` that leads there. Tandem connects directly only.
    pub proxy: Option<String>,
    /// What only an ssh program could have decided.
    pub undecided: Option<String>,
}

/// Which agent is asked for keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AgentChoice {
    /// The one that the environment names.
    #[default]
    Environment,
    /// None (`IdentityAgent none`).
    None,
    /// The one at this socket.
    Socket(PathBuf),
}

/// Why a host of the configuration, or the whole file, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file, or one that it includes, could not be read.
    #[error("could not read `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        #[source]
        source: std::io::Error,
    },
    /// The files are too many or too long, as when one includes itself.
    #[error("`{path}` and what it includes have more than {most}")]
    TooMuch {
        /// The file that was read first.
        path: PathBuf,
        /// More than what.
        most: &'static str,
    },
    /// The person's own ssh does not accept its configuration.
    #[error("ssh does not accept its own configuration: {detail}")]
    Refused {
        /// ssh's words, without a full stop.
        detail: String,
    },
    /// It did not answer.
    #[error("`ssh -G {alias}` did not answer within {seconds} s")]
    Slow {
        /// The name in the configuration.
        alias: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Only ssh could tell, and there is none.
    #[error(
        "the configuration of `{alias}` has `{line}`, which only an ssh program can evaluate, and there is none"
    )]
    Undecided {
        /// The name in the configuration.
        alias: String,
        /// The line that decides.
        line: String,
    },
    /// The host is behind another one.
    #[error("`{alias}` is reached through `{proxy}`, and Tandem connects directly only")]
    Proxy {
        /// The name in the configuration.
        alias: String,
        /// The command or host that the connection would go over.
        proxy: String,
    },
}

impl ConfigHost {
    /// A host of which no configuration says anything.
    pub fn plain(alias: &str) -> Self {
        Self {
            alias: alias.to_owned(),
            host_name: alias.to_owned(),
            ..Self::default()
        }
    }

    /// Says whether Tandem can connect to it as the file describes it.
    pub fn reachable(&self) -> Result<(), ConfigError> {
        let alias = self.alias.clone();
        if let Some(line) = self.undecided.clone() {
            return Err(ConfigError::Undecided { alias, line });
        }
        match self.proxy.clone() {
            None => Ok(()),
            Some(proxy) => Err(ConfigError::Proxy { alias, proxy }),
        }
    }

    /// The name by which its host key is kept: `HostKeyAlias`, or the host with a port that is not 22.
    pub fn known_as(&self, port: u16) -> String {
        match (&self.host_key_alias, port) {
            (Some(alias), _) => alias.clone(),
            (None, 22) => self.host_name.to_ascii_lowercase(),
            (None, port) => format!("[{}]:{port}", self.host_name.to_ascii_lowercase()),
        }
    }
}

/// What `~/.ssh/config` (`path`) and the system's configuration make of one name, which need not stand in it, for
/// this user where one is given. Waits up to 10 s where a `Match exec` takes its time.
pub fn host(path: &Path, alias: &str, user: Option<&str>) -> Result<ConfigHost, ConfigError> {
    // Where there is no `/dev/stdin`, ssh cannot be told which home folder counts.
    #[cfg(unix)]
    if let Some(host) = ask_ssh::ask(path, alias, user)? {
        return Ok(host);
    }
    #[cfg(not(unix))]
    let _ = user;
    file::host(path, alias)
}

/// The folder in which `.ssh` lies.
fn home(config: &Path) -> &Path {
    config
        .parent()
        .and_then(Path::parent)
        .unwrap_or(Path::new("/"))
}

/// The keys that OpenSSH tries where none is named: those of the usual files that exist.
pub fn default_keys(config: &Path) -> Vec<PathBuf> {
    let folder = config.parent().unwrap_or(Path::new("/"));
    let files = DEFAULT_KEYS.iter().map(|name| folder.join(name));
    files.filter(|path| path.is_file()).collect()
}

/// What stands for the tokens of a path.
struct Tokens<'a> {
    home: &'a Path,
    host: &'a ConfigHost,
}

impl Tokens<'_> {
    /// A path with `~`, `%` tokens and `${VARIABLES}` replaced. A token that is not known stays as it stands.
    fn path(&self, text: &str) -> PathBuf {
        let text = match text.strip_prefix("~/") {
            Some(rest) => format!("{}/{rest}", self.home.display()),
            None => text.to_owned(),
        };
        let mut out = String::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '%' => match rest.next() {
                    Some('%') => out.push('%'),
                    Some('d') => out.push_str(&self.home.display().to_string()),
                    Some('u') => out.push_str(&local_user()),
                    Some('h') => out.push_str(&self.host.host_name),
                    Some('n') => out.push_str(&self.host.alias),
                    Some('k') => out.push_str(&self.host.known_as(22)),
                    Some('p') => out.push_str(&self.host.port.unwrap_or(22).to_string()),
                    Some('r') => match &self.host.user {
                        Some(user) => out.push_str(user),
                        None => out.push_str(&local_user()),
                    },
                    Some(other) => out.extend(['%', other]),
                    None => out.push('%'),
                },
                '$' if rest.as_str().starts_with('{') => {
                    let name: String = rest.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    out.push_str(&std::env::var(name).unwrap_or_default());
                }
                c => out.push(c),
            }
        }
        PathBuf::from(out)
    }

    /// The value of `IdentityAgent`.
    fn agent(&self, value: &str) -> AgentChoice {
        match value {
            "none" => AgentChoice::None,
            "SSH_AUTH_SOCK" => AgentChoice::Environment,
            value => match value
                .strip_prefix('$')
                .filter(|name| !name.starts_with('{'))
            {
                Some(name) => std::env::var_os(name)
                    .map_or(AgentChoice::None, |path| AgentChoice::Socket(path.into())),
                None => AgentChoice::Socket(self.path(value)),
            },
        }
    }
}

fn local_user() -> String {
    let names = ["USER", "LOGNAME", "USERNAME"];
    let named = names.iter().find_map(|name| std::env::var(name).ok());
    named.unwrap_or_default()
}
