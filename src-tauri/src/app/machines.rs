//! Machines: adding, looking, forgetting; and the turn to a rehearsal and back.

use tandem_adapters::ssh::known_hosts::{KnownHosts, Standing};
use tandem_adapters::ssh::{self, HostPin};
use tandem_adapters::store::{MachineChange, SavedMachine};
use tandem_domain::container::SERVER;
use tandem_domain::ids::MachineId;
use tandem_domain::machine::Facts;
use tandem_domain::machine::cache_choice::chosen;
use tandem_domain::machine::identity::{known_before, same_machine};
use tandem_domain::ports::Command;
use tandem_domain::problem::{Code, Problem};
use tandem_domain::secret::Secret;
use tandem_domain::shell::quote;
use tandem_domain::step::facts::unfit;
use tandem_rehearsal::machines::Rehearsal;

use super::workspace::{Seen, Workspace, refused_key, resolve};
use super::{App, lock, stored};
use crate::wire::{
    ChangedMachine, HostProbe, KeyKnown, MachineView, NewMachine, Overview, SudoAccess,
};

impl App {
    /// Reads the host key at an address.
    pub async fn probe_host(&self, address: &str, port: u16) -> Result<HostProbe, Problem> {
        let address = usable_address(address)?;
        let host = resolve(address, None)?;
        let port = host.port.unwrap_or(port);
        let known = KnownHosts::of(&host.known_hosts, &host.known_as(port));
        let key = ssh::probe(&host.host_name, port, &known)
            .await
            .map_err(|e| e.problem(address))?;
        let standing = known.standing(&key.openssh_line);
        if let Some(error) = refused_key(address, &host, port, &key, &standing) {
            return Err(error.problem(address));
        }
        let known = match standing {
            Standing::Known(_) => KeyKnown::ToSsh,
            Standing::OtherKind(_) => KeyKnown::ByAnotherKind,
            _ => KeyKnown::No,
        };
        Ok(HostProbe {
            address: address.to_owned(),
            port,
            algorithm: key.algorithm,
            fingerprint: key.fingerprint,
            host_key: key.openssh_line,
            user: host.user,
            known,
        })
    }

    /// Signs in, looks and keeps the machine.
    pub async fn add_machine(&self, machine: NewMachine) -> Result<MachineView, Problem> {
        let workspace = self.workspace().await;
        if workspace.simulated() {
            return Err(
                Problem::new(Code::BadInput, "A rehearsal has its own two machines.")
                    .fix("Leave the rehearsal to add real ones."),
            );
        }
        let known = workspace.machines().await?;
        if known.len() >= 2 {
            return Err(
                Problem::new(Code::BadInput, "Tandem works with one machine or two.")
                    .cause("Two are here already.")
                    .fix("Remove one first."),
            );
        }
        let user = usable_user(&machine.user)?;
        let mut saved = SavedMachine {
            id: super::new_id().into(),
            name: machine.address.trim().to_owned(),
            address: machine.address.trim().to_owned(),
            port: machine.port,
            user: user.to_owned(),
            host_key: Some(machine.host_key),
            facts: None,
            cache: None,
            simulated: false,
            added_at: self.now(),
        };
        let password = machine.password.filter(|p| !p.is_empty()).map(Secret::new);
        let facts = workspace.meet(&saved, password).await?;
        let twin = known
            .iter()
            .find(|k| k.facts.as_ref().is_some_and(|f| same_machine(f, &facts)));
        if let Some(twin) = twin {
            workspace.forget(&saved.id);
            return Err(Problem::new(
                Code::SameMachineTwice,
                "This is a machine you have added already.",
            )
            .cause(format!(
                "`{}` leads to `{}`, which was added as `{}`.",
                saved.address, facts.hostname, twin.address
            ))
            .fix("Type the address of your other Spark."));
        }
        // Removed and added again it is the same to its runs.
        let removed = stored(workspace.store.removed_machines().await)?;
        if let Some(id) = known_before(&facts, &removed) {
            workspace.call(&saved.id, id);
            saved.id = id.clone();
        }
        saved.name = unique(&facts.hostname, &saved.address, &known);
        saved.facts = Some(facts);
        let kept = stored(workspace.store.add_machine(&saved).await);
        if kept.is_err() {
            workspace.forget(&saved.id);
        }
        kept?;
        self.note(&workspace, &saved);
        Ok(view(&workspace, &saved))
    }

    /// Changes how a machine is reached. The new address must lead to the same machine, with the host key that
    /// was accepted; nothing is changed otherwise.
    pub async fn change_machine(
        &self,
        id: &MachineId,
        change: ChangedMachine,
    ) -> Result<MachineView, Problem> {
        let workspace = self.workspace().await;
        if self.live_id().is_some() {
            return Err(Problem::new(Code::Locked, "The machine was not changed.")
                .cause("A run is working on it.")
                .fix("Cancel the run or wait for its end."));
        }
        if workspace.simulated() {
            return Err(
                Problem::new(Code::BadInput, "A rehearsed machine has no address.")
                    .fix("Leave the rehearsal to change real machines."),
            );
        }
        let saved = workspace.machine(id).await?;
        let mut moved = SavedMachine {
            address: usable_address(&change.address)?.to_owned(),
            port: change.port,
            user: usable_user(&change.user)?.to_owned(),
            cache: chosen(&change.cache)?,
            ..saved.clone()
        };
        // Under another id until it is known to be the same: the connection that there is stays usable.
        let trial = SavedMachine {
            id: super::new_id().into(),
            ..moved.clone()
        };
        let password = change.password.filter(|p| !p.is_empty()).map(Secret::new);
        let held = (moved.user == saved.user).then(|| workspace.password_of(id));
        let facts = workspace.meet(&trial, password.or(held.flatten())).await?;
        if let Some(before) = &saved.facts
            && !same_machine(before, &facts)
        {
            workspace.forget(&trial.id);
            return Err(Problem::new(Code::BadInput, "The machine was not changed.")
                .cause(format!(
                    "Another machine, `{}`, answers at `{}`.",
                    facts.hostname, moved.address
                ))
                .fix("Type the address of this machine. To work with the other one, remove this one and add that."));
        }
        if let Some(folder) = moved.cache.as_ref().filter(|_| moved.cache != saved.cache)
            && let Err(problem) = usable_folder(&workspace, &trial, folder).await
        {
            workspace.forget(&trial.id);
            return Err(problem.on(moved.name));
        }
        let change = MachineChange {
            name: moved.name.clone(),
            address: moved.address.clone(),
            port: moved.port,
            user: moved.user.clone(),
            cache: moved.cache.clone(),
        };
        let kept = stored(workspace.store.change_machine(id, &change).await);
        if kept.is_err() {
            workspace.forget(&trial.id);
        }
        kept?;
        workspace.forget(id);
        workspace.call(&trial.id, id);
        stored(workspace.store.keep_facts(id, &facts).await)?;
        moved.facts = Some(facts);
        self.note(&workspace, &moved);
        Ok(view(&workspace, &moved))
    }

    /// Forgets a machine.
    pub async fn remove_machine(&self, id: &MachineId) -> Result<(), Problem> {
        let workspace = self.workspace().await;
        if self.live_id().is_some() {
            return Err(Problem::new(Code::Locked, "The machine was not removed.")
                .cause("A run is working on it.")
                .fix("Cancel the run or wait for its end."));
        }
        stored(workspace.store.remove_machine(id, self.now()).await)?;
        workspace.forget(id);
        self.changed();
        Ok(())
    }

    /// Looks at a machine again.
    pub async fn refresh_machine(&self, id: &MachineId) -> Result<MachineView, Problem> {
        let workspace = self.workspace().await;
        let mut saved = workspace.machine(id).await?;
        match self.refresh_facts(&workspace, &saved).await {
            Ok(facts) => {
                saved.facts = Some(facts);
                Ok(view(&workspace, &saved))
            }
            Err(problem) => {
                lock(&workspace.seen).insert(
                    id.to_owned(),
                    Seen {
                        problems: vec![problem],
                    },
                );
                self.changed();
                Ok(MachineView {
                    reachable: Some(false),
                    ..view(&workspace, &saved)
                })
            }
        }
    }

    /// Reads a machine's facts and keeps them.
    pub(super) async fn refresh_facts(
        &self,
        workspace: &Workspace,
        saved: &SavedMachine,
    ) -> Result<Facts, Problem> {
        let facts = workspace.read_facts(&workspace.services(saved)?).await?;
        stored(workspace.store.keep_facts(&saved.id, &facts).await)?;
        let saved = SavedMachine {
            facts: Some(facts.clone()),
            ..saved.clone()
        };
        self.note(workspace, &saved);
        Ok(facts)
    }

    /// Keeps a password in memory after trying it with sudo.
    pub async fn give_password(
        &self,
        id: &MachineId,
        password: String,
    ) -> Result<MachineView, Problem> {
        let workspace = self.workspace().await;
        let saved = workspace.machine(id).await?;
        if workspace.simulated() {
            return Ok(view(&workspace, &saved));
        }
        workspace.keep_password(&saved, Secret::new(password))?;
        let machine = workspace.services(&saved)?;
        let tried = machine
            .shell
            .exec(&Command::new("true", [""; 0]).sudo())
            .await;
        if let Err(e) = tried {
            workspace.drop_password(&saved)?;
            return Err(e.problem(&saved.name));
        }
        self.changed();
        Ok(view(&workspace, &saved))
    }

    /// Makes the rehearsal, if there is none, and turns to it.
    pub async fn start_rehearsal(&self) -> Result<Overview, Problem> {
        if self.live_id().is_some() {
            return Err(busy());
        }
        if self.inner.rehearsal.read().await.is_none() {
            self.open_rehearsal().await?;
            self.changed();
        }
        self.overview().await
    }

    /// Removes the rehearsal and turns back to the real machines.
    pub async fn leave_rehearsal(&self) -> Result<Overview, Problem> {
        if self.live_id().is_some() {
            return Err(busy());
        }
        self.close_local();
        let workspace = self.inner.rehearsal.write().await.take();
        self.changed();
        if let Some(workspace) = workspace {
            for machine in workspace.rehearsal.iter().flat_map(Rehearsal::machines) {
                let removed = machine.containers.remove(SERVER).await;
                removed.map_err(|e| e.problem(&machine.name, &machine.user))?;
            }
            workspace.store.close().await;
            let folder = self.rehearsal_folder();
            if let Err(e) = std::fs::remove_dir_all(&folder) {
                return Err(
                    Problem::new(Code::Broken, "The rehearsal's folder was not removed.")
                        .cause(format!("`{}`: {e}.", folder.display()))
                        .fix("Remove it by hand.")
                        .severity(tandem_domain::problem::Severity::Warning),
                );
            }
        }
        self.overview().await
    }

    fn note(&self, workspace: &Workspace, saved: &SavedMachine) {
        let problems = saved
            .facts
            .iter()
            .flat_map(|f| unfit(&[&saved.name], std::slice::from_ref(f)));
        lock(&workspace.seen).insert(
            saved.id.clone(),
            Seen {
                problems: problems.collect(),
            },
        );
        self.changed();
    }
}

fn usable_address(address: &str) -> Result<&str, Problem> {
    let address = address.trim();
    if !address.is_empty() && !address.contains(char::is_whitespace) {
        return Ok(address);
    }
    Err(Problem::new(Code::BadInput, "The address cannot be used.")
        .cause(if address.is_empty() {
            "It is empty."
        } else {
            "It contains a space."
        })
        .fix("Type a host name such as spark-1a2b.local, or an IP address."))
}

fn usable_user(user: &str) -> Result<&str, Problem> {
    let user = user.trim();
    if !user.is_empty() && !user.contains(char::is_whitespace) {
        return Ok(user);
    }
    Err(
        Problem::new(Code::BadInput, "The user name cannot be used.")
            .fix("Type the name you sign in with on that machine."),
    )
}

/// Whether the folder is there and takes what is written.
async fn usable_folder(
    workspace: &Workspace,
    machine: &SavedMachine,
    folder: &str,
) -> Result<(), Problem> {
    let shell = workspace.services(machine)?.shell;
    let holds = async |what: &str| {
        let tried = shell.exec(&Command::new("test", [what, folder])).await;
        tried.map(|output| output.ok())
    };
    let asked = async { Ok((holds("-d").await?, holds("-w").await?)) };
    let (is_folder, takes_writes) = asked
        .await
        .map_err(|e: tandem_domain::ports::MachineError| e.problem(&machine.name))?;
    let why = match (is_folder, takes_writes) {
        (true, true) => return Ok(()),
        (false, _) => format!("`{folder}` is not a folder on that machine."),
        (true, false) => format!("`{}` may not write into `{folder}` there.", machine.user),
    };
    let (user, path) = (quote(&machine.user), quote(folder));
    Err(
        Problem::new(Code::BadInput, "The folder of the models was not changed.")
            .cause(why)
            .fix_with(
                "Make it on that machine, or choose another.",
                format!("sudo install -d -o {user} {path}"),
            ),
    )
}

fn busy() -> Problem {
    Problem::new(Code::Locked, "Tandem did not switch to other machines.")
        .cause("A run is going on.")
        .fix("Cancel it or wait for its end.")
}

fn unique(hostname: &str, address: &str, known: &[SavedMachine]) -> String {
    let name = if hostname.is_empty() {
        address
    } else {
        hostname
    };
    if known.iter().all(|k| k.name != name) {
        return name.to_owned();
    }
    (2..)
        .map(|n| format!("{name}-{n}"))
        .find(|n| known.iter().all(|k| k.name != *n))
        .unwrap_or_default()
}

/// A machine as the window sees it.
pub(super) fn view(workspace: &Workspace, saved: &SavedMachine) -> MachineView {
    let seen = lock(&workspace.seen).get(&saved.id).cloned();
    let free = workspace.simulated() || saved.facts.as_ref().is_some_and(|f| f.sudo_free);
    let fingerprint = saved
        .host_key
        .as_deref()
        .and_then(|k| HostPin::parse(k).ok());
    MachineView {
        id: saved.id.clone(),
        name: saved.name.clone(),
        address: saved.address.clone(),
        port: saved.port,
        user: saved.user.clone(),
        fingerprint: fingerprint
            .map(|p| p.fingerprint().to_owned())
            .unwrap_or_default(),
        facts: saved.facts.clone(),
        cache: saved.cache.clone(),
        reachable: seen.as_ref().map(|_| true),
        problems: seen.map(|s| s.problems).unwrap_or_default(),
        sudo: if free {
            SudoAccess::Free
        } else if workspace.holds_password(&saved.id) {
            SudoAccess::PasswordHeld
        } else {
            SudoAccess::PasswordNeeded
        },
    }
}
