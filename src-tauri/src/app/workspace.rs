//! A set of machines with their own database: the real ones, or a rehearsal's.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tandem_adapters::docker::SshContainers;
use tandem_adapters::ssh::config::{self, ConfigHost};
use tandem_adapters::ssh::keys::{KeyError, OwnKey};
use tandem_adapters::ssh::known_hosts::{KnownHosts, Standing};
use tandem_adapters::ssh::{Auth, HostKey, HostPin, SshMachine, SshTarget, SshTunnels};
use tandem_adapters::store::{SavedMachine, Store};
use tandem_domain::ids::MachineId;
use tandem_domain::machine::Facts;
use tandem_domain::machine::SetupMachine;
use tandem_domain::machine::cache_choice;
use tandem_domain::ports::{Clock, MachineError, MachineServices, NodePrograms};
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tandem_rehearsal::machines::Rehearsal;

use super::{Programs, lock, stored};

/// See the module.
pub(super) struct Workspace {
    pub(super) store: Store,
    /// Tandem's own public key, or a word for it on rehearsed machines.
    pub(super) public_key: String,
    own_key: Option<Arc<OwnKey>>,
    pub(super) rehearsal: Option<Rehearsal>,
    pub(super) programs: Arc<Programs>,
    connected: Mutex<HashMap<MachineId, Arc<SshMachine>>>,
    passwords: Mutex<HashMap<MachineId, Secret>>,
    pub(super) seen: Mutex<HashMap<MachineId, Seen>>,
}

/// What the last look at a machine told.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) problems: Vec<Problem>,
}

/// Why there is no key, in words; `silent` is what the keyring said where it gave no passphrase.
fn no_key(error: &KeyError, silent: Option<String>) -> Problem {
    let KeyError::Locked { path } = error else {
        return Problem::new(Code::Broken, "Tandem's own key could not be read or made.")
            .cause(format!("{error}."))
            .fix("Check that the folder can be written.");
    };
    let cause = match silent {
        Some(said) => format!(
            "{error}, and the keyring of this desktop, which keeps its passphrase, gives none: {said}."
        ),
        None => format!("{error}, and what the keyring of this desktop holds does not open it."),
    };
    Problem::new(Code::Keyring, "Tandem's own key cannot be opened.")
        .cause(cause)
        .fix(format!(
            "Unlock the keyring, then start Tandem again. Where it is lost, delete `{}`: Tandem makes another key, and asks for the password of each machine once.",
            path.display()
        ))
}

impl Workspace {
    pub(super) fn real(
        store: Store,
        data_dir: &Path,
        programs: Arc<Programs>,
        passphrase: Result<Secret, String>,
    ) -> Result<Self, Problem> {
        let own_key = OwnKey::load_or_make(data_dir, "tandem", passphrase.as_ref().ok());
        let own_key = own_key.map_err(|e| no_key(&e, passphrase.err()))?;
        Ok(Self {
            store,
            public_key: own_key.public_line(),
            own_key: Some(Arc::new(own_key)),
            rehearsal: None,
            programs,
            connected: Mutex::default(),
            passwords: Mutex::default(),
            seen: Mutex::default(),
        })
    }

    pub(super) async fn rehearsed(
        folder: &Path,
        programs: Arc<Programs>,
        clock: &dyn Clock,
    ) -> Result<Self, Problem> {
        let missing = |what: &str| {
            Problem::new(Code::NodeProgram, "The rehearsal could not begin.")
                .cause(format!("{what} did not come with this build of Tandem."))
                .fix_with("Build everything.", "make build")
        };
        let node = programs
            .build(std::env::consts::ARCH)
            .ok_or_else(|| missing("The node program for this computer"))?;
        let standin = programs
            .standin()
            .ok_or_else(|| missing("The stand-in server"))?;
        let store = stored(Store::open(folder.join("tandem.db")).await)?;
        let rehearsal = Rehearsal::open(folder, &node.path, &standin)
            .await
            .map_err(|e| {
                Problem::new(Code::Broken, "The rehearsal could not begin.")
                    .cause(format!("{e}."))
                    .fix("Leave the rehearsal and begin it again.")
            })?;
        let workspace = Self {
            store,
            public_key: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJlaGVhcnNhbHMgbmVlZCBubyBrZXkgYXQgYWxsLg rehearsal".into(),
            own_key: None,
            rehearsal: Some(rehearsal),
            programs,
            connected: Mutex::default(),
            passwords: Mutex::default(),
            seen: Mutex::default(),
        };
        workspace.keep_rehearsed(clock).await?;
        Ok(workspace)
    }

    /// Writes the rehearsed machines down, as adding would have.
    async fn keep_rehearsed(&self, clock: &dyn Clock) -> Result<(), Problem> {
        let known = stored(self.store.machines().await)?;
        for machine in self.rehearsal.iter().flat_map(Rehearsal::machines) {
            if known.iter().all(|m| m.id != machine.id) {
                let saved = SavedMachine {
                    id: machine.id.clone(),
                    name: machine.name.clone(),
                    address: format!("{}.rehearsal", machine.name),
                    port: 22,
                    user: machine.user.clone(),
                    host_key: None,
                    facts: None,
                    cache: None,
                    simulated: true,
                    added_at: clock.now_ms(),
                };
                stored(self.store.add_machine(&saved).await)?;
            }
            let facts = self.read_facts(&machine).await?;
            stored(self.store.keep_facts(&machine.id, &facts).await)?;
        }
        Ok(())
    }

    pub(super) fn simulated(&self) -> bool {
        self.rehearsal.is_some()
    }

    /// Where the weights come from in a rehearsal: a small Hub of its own.
    pub(super) fn hub_endpoint(&self) -> Option<String> {
        self.rehearsal.as_ref().map(|r| r.hub_endpoint())
    }

    /// The machines, head first.
    pub(super) async fn machines(&self) -> Result<Vec<SavedMachine>, Problem> {
        stored(self.store.machines().await)
    }

    pub(super) async fn machine(&self, id: &MachineId) -> Result<SavedMachine, Problem> {
        stored(self.store.machine(id).await)?.ok_or_else(|| {
            Problem::new(Code::BadInput, "This machine is not here any more.")
                .cause("It was removed.")
                .fix("Add it again.")
        })
    }

    /// The machines with these ids as the steps see them, in this order.
    pub(super) async fn services_of(
        &self,
        ids: &[MachineId],
    ) -> Result<Vec<MachineServices>, Problem> {
        let mut machines = Vec::new();
        for id in ids {
            let saved = self.machine(id).await?;
            machines.push(self.services(&saved)?);
        }
        Ok(machines)
    }

    pub(super) fn services(&self, saved: &SavedMachine) -> Result<MachineServices, Problem> {
        if let Some(rehearsal) = &self.rehearsal {
            let machine = rehearsal.machines().into_iter().find(|s| s.id == saved.id);
            return machine
                .ok_or_else(|| Problem::new(Code::Broken, "The rehearsed machine is gone."));
        }
        let machine = self.connection(saved)?;
        Ok(self.services_over(saved, machine))
    }

    fn services_over(&self, saved: &SavedMachine, machine: Arc<SshMachine>) -> MachineServices {
        let containers = Arc::new(SshContainers::new(machine.clone()));
        MachineServices {
            id: saved.id.clone(),
            name: saved.name.clone(),
            user: saved.user.clone(),
            tunnels: Arc::new(SshTunnels::new(machine.clone(), containers.clone())),
            containers,
            node_program: self.programs.clone(),
            shell: machine,
        }
    }

    /// The one connection to a machine, made when first used.
    fn connection(&self, saved: &SavedMachine) -> Result<Arc<SshMachine>, Problem> {
        if let Some(machine) = lock(&self.connected).get(&saved.id) {
            return Ok(machine.clone());
        }
        let machine = Arc::new(SshMachine::new(self.target(saved)?));
        lock(&self.connected).insert(saved.id.clone(), machine.clone());
        Ok(machine)
    }

    fn target(&self, saved: &SavedMachine) -> Result<SshTarget, Problem> {
        let unpinned = || {
            Problem::new(Code::HostKeyUnknown, "Tandem did not connect.")
                .cause("No host key is pinned for this machine.")
                .fix("Remove the machine here and add it again.")
                .on(saved.name.clone())
        };
        let line = saved.host_key.as_deref().ok_or_else(unpinned)?;
        let host_key = HostPin::parse(line).map_err(|_| unpinned())?;
        let host = resolve(&saved.address, Some(&saved.user))?;
        let known = KnownHosts::of(&host.known_hosts, &host.known_as(saved.port));
        let standing = known.standing(line);
        // A key that ssh knows otherwise was accepted here by the person; one that is revoked never counts.
        if matches!(standing, Standing::Revoked(_)) {
            let key = HostKey {
                algorithm: String::new(),
                fingerprint: host_key.fingerprint().to_owned(),
                openssh_line: line.to_owned(),
            };
            let refused = refused_key(&saved.address, &host, saved.port, &key, &standing);
            if let Some(error) = refused {
                return Err(error.problem(&saved.name));
            }
        }
        let password = lock(&self.passwords).get(&saved.id).cloned();
        let mut auth: Vec<Auth> = self.own_key.iter().cloned().map(Auth::OwnKey).collect();
        // Before the agent: one with many keys uses up the server's patience.
        auth.extend(password.clone().map(Auth::Password));
        let default_keys = ssh_config().map(|path| config::default_keys(&path));
        auth.extend(Auth::of_person(&host, &default_keys.unwrap_or_default()));
        Ok(SshTarget {
            name: saved.name.clone(),
            address: host.host_name,
            port: saved.port,
            user: saved.user.clone(),
            host_key,
            auth,
            sudo_password: password,
            environment: saved
                .cache
                .as_deref()
                .map_or_else(Vec::new, |folder| cache_choice::environment(folder).into()),
        })
    }

    /// Connects to a machine that is not kept yet and looks at it. The name is known only then.
    pub(super) async fn meet(
        &self,
        saved: &SavedMachine,
        password: Option<Secret>,
    ) -> Result<Facts, Problem> {
        if let Some(password) = password {
            lock(&self.passwords).insert(saved.id.clone(), password);
        }
        let result = async {
            let machine = Arc::new(SshMachine::new(self.target(saved)?));
            machine
                .connect()
                .await
                .map_err(|e| e.problem(&saved.address))?;
            let facts = self
                .read_facts(&self.services_over(saved, machine.clone()))
                .await?;
            lock(&self.connected).insert(saved.id.clone(), machine);
            Ok(facts)
        }
        .await;
        if result.is_err() {
            self.forget(&saved.id);
        }
        result
    }

    pub(super) fn forget(&self, id: &MachineId) {
        lock(&self.connected).remove(id);
        lock(&self.passwords).remove(id);
        lock(&self.seen).remove(id);
    }

    /// Calls a machine by another id: what is connected and held for the one is the other's then.
    pub(super) fn call(&self, now: &MachineId, id: &MachineId) {
        fn moved<T>(map: &Mutex<HashMap<MachineId, T>>, now: &MachineId, id: &MachineId) {
            let mut map = lock(map);
            if let Some(value) = map.remove(now) {
                map.insert(id.clone(), value);
            }
        }
        moved(&self.connected, now, id);
        moved(&self.passwords, now, id);
        moved(&self.seen, now, id);
    }

    pub(super) fn password_of(&self, id: &MachineId) -> Option<Secret> {
        lock(&self.passwords).get(id).cloned()
    }

    pub(super) fn holds_password(&self, id: &MachineId) -> bool {
        lock(&self.passwords).contains_key(id)
    }

    /// Keeps a password in memory, for logging in and for sudo.
    pub(super) fn keep_password(
        &self,
        saved: &SavedMachine,
        password: Secret,
    ) -> Result<(), Problem> {
        lock(&self.passwords).insert(saved.id.clone(), password.clone());
        let machine = self.connection(saved)?;
        machine.set_auth(self.target(saved)?.auth);
        machine.set_sudo_password(Some(password));
        Ok(())
    }

    pub(super) fn drop_password(&self, saved: &SavedMachine) -> Result<(), Problem> {
        lock(&self.passwords).remove(&saved.id);
        self.connection(saved)?.set_sudo_password(None);
        Ok(())
    }

    /// The machines with their facts, as a plan needs them.
    pub(super) async fn setup_machines(
        &self,
        ids: &[MachineId],
    ) -> Result<Vec<SetupMachine>, Problem> {
        let mut all = Vec::new();
        for id in ids {
            let saved = self.machine(id).await?;
            let facts = saved.facts.ok_or_else(|| {
                Problem::new(
                    Code::BadInput,
                    "Tandem has not read this machine's facts yet.",
                )
                .fix("Refresh it on the Machines screen.")
                .on(saved.name.clone())
            })?;
            all.push(SetupMachine {
                name: saved.name,
                user: saved.user,
                facts,
            });
        }
        Ok(all)
    }
}

/// `~/.ssh/config`.
pub(super) fn ssh_config() -> Option<PathBuf> {
    std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".ssh/config"))
}

/// What the person's own ssh makes of a name, for this user where one is given; the name itself where nothing is
/// said about it.
pub(super) fn resolve(address: &str, user: Option<&str>) -> Result<ConfigHost, Problem> {
    let Some(path) = ssh_config() else {
        return Ok(ConfigHost::plain(address));
    };
    let unusable = |e: config::ConfigError| {
        Problem::new(Code::BadInput, format!("`{address}` cannot be used."))
            .cause(format!("{e}."))
            .fix("Give the machine's own address instead, or mend `~/.ssh/config`.")
    };
    let host = config::host(&path, address, user).map_err(unusable)?;
    host.reachable().map_err(unusable)?;
    Ok(host)
}

/// The error for a key that the person's own ssh would not accept from this host.
pub(super) fn refused_key(
    address: &str,
    host: &ConfigHost,
    port: u16,
    key: &HostKey,
    standing: &Standing,
) -> Option<MachineError> {
    let address = address.to_owned();
    let shown = key.fingerprint.clone();
    match standing {
        Standing::New | Standing::Known(_) | Standing::OtherKind(_) => None,
        Standing::Changed { place, fingerprint } => Some(MachineError::KnownByAnotherKey {
            address,
            known: fingerprint.clone(),
            shown,
            file: place.file.display().to_string(),
            line: place.line,
            name: host.known_as(port),
        }),
        Standing::Revoked(place) => Some(MachineError::HostKeyRevoked {
            address,
            shown,
            file: place.file.display().to_string(),
            line: place.line,
        }),
    }
}
