//! The contracts on a machine of the lab, with its sudo and its Docker engine.

use std::sync::Arc;

use tandem_adapters::docker::SshContainers;
use tandem_adapters::registry::Registries;
use tandem_adapters::ssh::known_hosts::KnownHosts;
use tandem_adapters::ssh::{Auth, HostPin, SshMachine, SshTarget, probe};
use tandem_domain::lease::Leased;
use tandem_domain::ports::{
    Command, ContainerError, Containers, Machine, MachineError, Registry, RegistryError, RemoteFile,
};
use tandem_domain::secret::Secret;
use tandem_tests::{IMAGE, Lab, PASSWORD, REGISTRY, Spark, USER};

use crate::containers::{Walls, containers_contract};
use crate::lease::meetings;
use crate::machine::machine_contract;

const SPARK: Spark = Spark::A;
/// How often two computers meet on the pair.
const MEETINGS: u64 = 200;

async fn machine(spark: Spark) -> Arc<SshMachine> {
    let key = probe(spark.address(), 22, &KnownHosts::default())
        .await
        .expect("sshd answers");
    Arc::new(SshMachine::new(SshTarget {
        name: spark.name().into(),
        address: spark.address().into(),
        port: 22,
        user: USER.into(),
        host_key: HostPin::from(&key),
        auth: vec![Auth::Password(Secret::new(PASSWORD))],
        sudo_password: Some(Secret::new(PASSWORD)),
        environment: Vec::new(),
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_the_lab_holds_the_contracts() {
    if !tandem_tests::enabled() {
        return;
    }
    let lab = Lab::start().await.expect("the lab starts");
    let (machine, other) = (machine(SPARK).await, machine(Spark::B).await);
    two_computers_meet(&[("1", machine.clone()), ("2", other)]).await;
    machine_contract(machine.as_ref()).await;
    as_root(machine.as_ref()).await;
    sudo_refuses(&lab, &machine).await;
    let containers = SshContainers::new(Arc::clone(&machine));
    roads_to_docker(&lab, &machine, &containers).await;
    containers_contract(&containers, IMAGE, Walls::Own).await;
    the_registry_names_the_image(&containers).await;
}

/// The registry that the engines pull from, asked from the box as the app asks one.
async fn the_registry_names_the_image(containers: &dyn Containers) {
    containers.pull(IMAGE, &mut |_| {}).await.expect("a pull");
    let pulled = containers.image(IMAGE).await.expect("it answers");
    let id = pulled.expect("it was pulled").id;
    let registries = Registries::plain([REGISTRY.to_owned()]);
    let ids = registries
        .ids(&format!("{REGISTRY}/{IMAGE}"), "x86_64")
        .await
        .expect("the registry answers");
    assert!(ids.contains(&id), "{ids:?} has not {id}");
    let unknown = format!("{REGISTRY}/no/image:here");
    let asked = registries.ids(&unknown, "x86_64").await;
    let error = asked.expect_err("there is none");
    assert!(matches!(error, RegistryError::NoAnswer { .. }), "{error:?}");
    let error = registries
        .ids("No Name", "x86_64")
        .await
        .expect_err("no name");
    assert!(matches!(error, RegistryError::Name { .. }), "{error:?}");
}

async fn two_computers_meet(machines: &[(&str, Arc<SshMachine>)]) {
    let all: Vec<Leased<'_>> = machines
        .iter()
        .map(|(machine_id, machine)| Leased {
            machine_id,
            name: machine.name(),
            shell: machine.as_ref(),
        })
        .collect();
    meetings(&all, MEETINGS).await;
}

fn whoami() -> Command {
    Command::new("id", ["-un"]).sudo()
}

async fn as_root(machine: &dyn Machine) {
    let output = machine.exec(&whoami()).await.expect("it ran");
    assert_eq!(
        (output.text().as_str(), output.error_text().as_str()),
        ("root\n", "")
    );
    let stdin: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
    let echo = Command::new("cat", [""; 0]).sudo().stdin(stdin.clone());
    let output = machine
        .exec(&echo.most(stdin.len() + 1))
        .await
        .expect("it ran");
    assert!(
        output.stdout == stdin,
        "all of stdin and nothing else, not even the password"
    );
    let output = machine
        .exec(&Command::new("sh", ["-c", "echo no >&2; exit 1"]).sudo())
        .await;
    let output = output.expect("the command's own failure is none of sudo's");
    assert_eq!((output.status, output.error_text().as_str()), (1, "no"));

    let path = "/etc/tandem-contract/a file.yaml";
    assert_eq!(machine.read(path, true).await, Ok(None));
    let file = RemoteFile {
        path: path.into(),
        content: b"secret\0\n".to_vec(),
        mode: 0o600,
        sudo: true,
    };
    machine.write(&file).await.expect("written by root");
    assert_eq!(
        machine.read(path, true).await,
        Ok(Some(file.content.clone()))
    );
    let error = machine.read(path, false).await.expect_err("for root only");
    assert!(
        matches!(&error, MachineError::File { detail, .. } if detail == "permission denied"),
        "{error:?}"
    );
    let error = machine
        .write(&RemoteFile {
            sudo: false,
            ..file
        })
        .await
        .expect_err("for root only");
    assert!(
        matches!(error, MachineError::File { act: "write", .. }),
        "{error:?}"
    );
    let script = "stat -c '%a %U' \"$1\"; ls -A \"${1%/*}\"; rm -r \"${1%/*}\"";
    let output = machine
        .exec(&Command::new("sh", ["-c", script, "sh", path]).sudo())
        .await;
    assert_eq!(output.expect("it ran").text(), "600 root\na file.yaml\n");

    // A root process ends with its caller too, though the user could not end it.
    let mark = "/tmp/tandem-contract-root";
    let script = format!("echo $$ >{mark}; exec sleep 7777");
    {
        let endless = Command::new("sh", ["-c", &script]).sudo().timeout(None);
        let mut running = machine.exec(&endless);
        let started = Command::new(
            "sh",
            ["-c", &format!("until [ -s {mark} ]; do sleep 0.1; done")],
        );
        tokio::select! {
            outcome = &mut running => panic!("it ended by itself: {outcome:?}"),
            seen = machine.exec(&started) => assert!(seen.expect("it ran").ok()),
        }
    }
    let gone = format!("while [ -d /proc/$(cat {mark}) ]; do sleep 0.1; done; rm {mark}");
    let output = machine
        .exec(&Command::new("sh", ["-c", &gone]).sudo())
        .await;
    assert!(output.expect("the root process ended").ok());
}

async fn sudo_refuses(lab: &Lab, machine: &SshMachine) {
    machine.set_sudo_password(None);
    assert_eq!(
        machine.exec(&whoami()).await,
        Err(MachineError::SudoPasswordNeeded)
    );
    machine.set_sudo_password(Some(Secret::new("not it")));
    let error = machine.exec(&whoami()).await.expect_err("wrong");
    assert!(
        matches!(error, MachineError::WrongPassword { .. }),
        "{error:?}"
    );
    machine.set_sudo_password(Some(Secret::new(PASSWORD)));
    lab.revoke_sudo(SPARK).await.expect("revoked");
    machine.reconnect().await;
    let error = machine.exec(&whoami()).await.expect_err("not allowed");
    assert!(
        matches!(&error, MachineError::SudoRefused { detail } if detail.contains("sudoers")),
        "{error:?}"
    );
    lab.grant_sudo(SPARK).await.expect("granted");
    machine.reconnect().await;
    assert!(machine.exec(&whoami()).await.expect("allowed again").ok());
}

async fn roads_to_docker(lab: &Lab, machine: &SshMachine, containers: &SshContainers) {
    lab.docker_group(SPARK, USER, false)
        .await
        .expect("taken out");
    machine.reconnect().await;
    assert_eq!(containers.engine().await, Err(ContainerError::Denied));
    lab.docker_group(SPARK, USER, true).await.expect("put in");
    machine.reconnect().await;
    containers
        .engine()
        .await
        .expect("open to the group's members");
    lab.stop_docker(SPARK).await.expect("stopped");
    let error = containers.engine().await.expect_err("stopped");
    assert!(
        matches!(error, ContainerError::NotRunning { .. }),
        "{error:?}"
    );
    lab.start_docker(SPARK).await.expect("started");
    containers
        .engine()
        .await
        .expect("the same client finds it again");
}
