//! The leases that a run has on its machines, from before its first act to after its last.

use std::sync::Arc;
use std::time::Duration;

use tandem_adapters::store::Store;
use tandem_adapters::this_computer::who;
use tandem_domain::lease::{self, Holder, LeaseError, Leased, RENEWED_EVERY};
use tandem_domain::ports::MachineServices;
use tandem_domain::problem::Problem;
use tandem_domain::run::RunId;
use tokio_util::sync::CancellationToken;

use super::stored;

/// How long the end of a run may wait for machines that do not answer.
const SOON: Duration = Duration::from_secs(5);

/// Where the word of a database is kept in it.
const SETTING: &str = "lease_word";

/// The random word by which the leases of this database are known on the machines. Made once.
pub(super) async fn word(store: &Store) -> Result<String, Problem> {
    if let Some(word) = stored(store.setting::<String>(SETTING).await)? {
        return Ok(word);
    }
    let word = super::new_id();
    stored(store.put_setting(SETTING, &word).await)?;
    Ok(word)
}

/// See the module.
pub(super) struct Leases {
    machines: Vec<MachineServices>,
    holder: Arc<Holder>,
    ended: CancellationToken,
}

impl Leases {
    /// Takes the lease of every machine, or none and says who works there. Each comes with `/etc/machine-id`. A machine
    /// that does not answer now is asked again while the run lasts; that it does not answer is the run's to tell.
    ///
    /// The word is that of the database, which one process uses at a time: what a killed life of this app still
    /// holds is its own.
    pub(super) async fn take(
        machines: Vec<(String, MachineServices)>,
        run: &RunId,
        word: String,
    ) -> Result<Self, Problem> {
        let here = who();
        let holder = Holder {
            // A copy of the database on another computer is another holder.
            word: format!("{word}-{}", here.host),
            who: format!("{}@{}", here.user, here.host),
            run: run.0.clone(),
        };
        let all: Vec<Leased<'_>> = machines
            .iter()
            .map(|(machine_id, machine)| Leased {
                machine_id,
                name: &machine.name,
                shell: machine.shell.as_ref(),
            })
            .collect();
        for problem in lease::take_all(&all, &holder).await? {
            tracing::warn!(machine = problem.machine, %problem, "no lease yet");
        }
        Ok(Self {
            machines: machines.into_iter().map(|(_, machine)| machine).collect(),
            holder: Arc::new(holder),
            ended: CancellationToken::new(),
        })
    }

    /// Renews them until they are given back. Where somebody else has taken one over, the run is cancelled.
    pub(super) fn keep(&self, run: CancellationToken) {
        for machine in self.machines.clone() {
            let (holder, ended, run) = (self.holder.clone(), self.ended.clone(), run.clone());
            tokio::spawn(async move {
                loop {
                    tokio::select! {
                        () = ended.cancelled() => return,
                        () = tokio::time::sleep(RENEWED_EVERY) => {}
                    }
                    let shell = machine.shell.as_ref();
                    if let Ok(false) = lease::renew(shell, &holder).await
                        // It is gone with a restart of the home folder, or was never taken.
                        && let Err(LeaseError::Held { who, .. }) = lease::take(shell, &holder).await
                        && !ended.is_cancelled()
                    {
                        tracing::error!(machine = machine.name, who, "the lease was taken over");
                        run.cancel();
                        return;
                    }
                }
            });
        }
    }

    /// Gives them back. What cannot be reached soon is taken over by the next one that comes, after a while.
    pub(super) async fn give_back(&self) {
        self.ended.cancel();
        let all = self.machines.iter().map(|machine| async {
            if let Err(error) = lease::give_back(machine.shell.as_ref(), &self.holder).await {
                tracing::warn!(machine = machine.name, %error, "a lease was not given back");
            }
        });
        let all = futures::future::join_all(all);
        if tokio::time::timeout(SOON, all).await.is_err() {
            tracing::warn!("a machine did not answer, so its lease was not given back");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_killed_app_finds_its_own_lease_again_and_another_folder_has_another_word() {
        let mut words = Vec::new();
        let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
        for folder in [&folders[0], &folders[0], &folders[1]] {
            let store = Store::open(folder.path().join("tandem.db")).await;
            // Not closed: a killed process closes nothing.
            words.push(word(&store.expect("it opens")).await.expect("a word"));
        }
        assert_eq!(words[0], words[1]);
        assert_ne!(words[0], words[2]);
    }
}
