//! What every test on the lab begins with: the machines, a Hub, and a folder for both.

use std::path::Path;
use std::time::Duration;

use tandem_domain::run::RunOutcome;
use tandem_rehearsal::hub::Hub;
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tandem_tests::bed::{Bed, request};
use tandem_tests::{Lab, Snapshot, Spark, enabled, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Two fresh machines and a Hub.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) hub: Hub,
    pub(crate) folder: tempfile::TempDir,
    /// Both machines as they were when somebody remembered them.
    pub(crate) before: Vec<Snapshot>,
}

impl Stage {
    /// `None` where the lab is not to run.
    pub(crate) async fn set() -> Option<Self> {
        if !enabled() {
            return None;
        }
        Some(Self::on(Lab::start().await.expect("the lab starts")).await)
    }

    /// The same, with both machines remembered as they are.
    pub(crate) async fn remembered() -> Option<Self> {
        let mut stage = Self::set().await?;
        stage.before = snapshots(&stage.lab).await;
        Some(stage)
    }

    /// The same on machines whose private ports belong to NetworkManager.
    pub(crate) async fn managed() -> Option<Self> {
        if !enabled() {
            return None;
        }
        let lab = Lab::start_managed().await.expect("the lab starts");
        Some(Self::on(lab).await)
    }

    async fn on(lab: Lab) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let repos = folder.path().join("repos");
        let hub = lab.hub(&repos).await.expect("the Hub starts");
        Self {
            lab,
            hub,
            folder,
            before: Vec::new(),
        }
    }

    /// The set-up over both machines, not begun.
    pub(crate) async fn bed(&self) -> Bed {
        self.bed_in(self.folder.path()).await
    }

    /// One of several, each with a store of its own.
    pub(crate) async fn bed_of(&self, name: &str) -> Bed {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).expect("a folder of its own");
        self.bed_in(&folder).await
    }

    async fn bed_in(&self, folder: &Path) -> Bed {
        Bed::new(folder, request(self.hub.endpoint())).await
    }

    /// What is not as it was when the machines were remembered.
    pub(crate) async fn left(&self) -> Vec<String> {
        differences(&self.before, &snapshots(&self.lab).await, Snapshot::changes)
    }

    /// Starts the set-up and comes back while weights are on their way, slowly enough that something can
    /// happen to them.
    pub(crate) async fn fetching(
        &self,
        bed: &Bed,
        cancel: &CancellationToken,
    ) -> JoinHandle<RunOutcome> {
        let slow = FaultKind::Slow {
            bytes_per_second: 40_000,
        };
        self.hub.fault(Fault::new(slow).on(Side::Cdn));
        let (bed, cancel) = (bed.clone(), cancel.clone());
        let going = tokio::spawn(async move { bed.go_until(cancel).await });
        let some = || async { (self.hub.counters().read().cdn_bytes >= 50_000).then_some(()) };
        until("the fetch begins", Duration::from_secs(120), some)
            .await
            .expect("weights come");
        going
    }
}

/// Both machines as they are now.
pub(crate) async fn snapshots(lab: &Lab) -> Vec<Snapshot> {
    let mut all = Vec::new();
    for spark in Spark::BOTH {
        all.push(lab.snapshot(spark).await.expect("a snapshot is taken"));
    }
    all
}

/// What differs, with the machines' names.
pub(crate) fn differences(
    before: &[Snapshot],
    after: &[Snapshot],
    of: fn(&Snapshot, &Snapshot) -> Vec<String>,
) -> Vec<String> {
    let pairs = Spark::BOTH.iter().zip(before.iter().zip(after));
    pairs
        .flat_map(|(spark, (b, a))| {
            of(b, a)
                .into_iter()
                .map(move |d| format!("{}: {d}", spark.name()))
        })
        .collect()
}
