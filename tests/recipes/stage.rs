//! What every test on the lab begins with: the machines, a Hub, and a folder for both.

use std::time::Duration;

use tandem_domain::run::RunOutcome;
use tandem_rehearsal::hub::Hub;
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tandem_tests::bed::{Bed, request};
use tandem_tests::{Lab, enabled, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Two fresh machines and a Hub.
pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) hub: Hub,
    pub(crate) folder: tempfile::TempDir,
}

impl Stage {
    /// `None` where the lab is not to run.
    pub(crate) async fn set() -> Option<Self> {
        if !enabled() {
            return None;
        }
        let lab = Lab::start().await.expect("the lab starts");
        let folder = tempfile::tempdir().expect("a folder");
        let repos = folder.path().join("repos");
        let hub = lab.hub(&repos).await.expect("the Hub starts");
        Some(Self { lab, hub, folder })
    }

    /// The set-up over both machines, not begun.
    pub(crate) async fn bed(&self) -> Bed {
        Bed::new(self.folder.path(), request(self.hub.endpoint())).await
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
