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
    let machine = rehearsal.machines().remove(0);
    (rehearsal, machine)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_simulated_machine_holds_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let (_rehearsal, machine) = open(folder.path()).await;
    machine_contract(machine.shell.as_ref()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn simulated_containers_hold_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let (_rehearsal, machine) = open(folder.path()).await;
    containers_contract(machine.containers.as_ref(), IMAGE, Walls::None).await;
}
