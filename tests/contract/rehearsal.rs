//! The contracts on a simulated machine of a rehearsal: nothing but this computer is needed.

use std::path::Path;

use tandem_domain::ports::MachineServices;
use tandem_rehearsal::machines::Rehearsal;
use tandem_tests::IMAGE;

use crate::containers::{Walls, containers_contract};
use crate::machine::machine_contract;

/// A rehearsal of its own in a folder. What its programs are does not matter here, only that there are some.
async fn open(folder: &Path) -> (Rehearsal, MachineServices) {
    let program = Path::new("/bin/sh");
    let rehearsal = Rehearsal::open(folder, program, program)
        .await
        .expect("it opens");
    let station = rehearsal.stations().remove(0);
    (rehearsal, station)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_machine_holds_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let (_rehearsal, station) = open(folder.path()).await;
    machine_contract(station.machine.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_containers_hold_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let (_rehearsal, station) = open(folder.path()).await;
    containers_contract(station.containers.as_ref(), IMAGE, Walls::None).await;
}
