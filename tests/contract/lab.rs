//! The contracts on a machine of the lab, with its sudo and its Docker engine.

use std::sync::Arc;

use tandem_adapters::docker::SshContainers;
use tandem_adapters::ssh::known_hosts::KnownHosts;
use tandem_adapters::ssh::{Auth, HostPin, SshMachine, SshTarget, probe};
use tandem_domain::ports::{
    Command, ContainerError, Containers, Machine, MachineError, RemoteFile,
};
use tandem_domain::secret::Secret;
use tandem_tests::{IMAGE, Lab, PASSWORD, Spark, USER};

use crate::containers::{Walls, containers_contract};
use crate::machine::machine_contract;

const SPARK: Spark = Spark::A;

async fn machine() -> Arc<SshMachine> {
    let key = probe(SPARK.address(), 22, &KnownHosts::default())
        .await
        .expect("sshd answers");
    Arc::new(SshMachine::new(SshTarget {
        name: SPARK.name().into(),
        address: SPARK.address().into(),
        port: 22,
        user: USER.into(),
        host_key: HostPin::from(&key),
        auth: vec![Auth::Password(Secret::new(PASSWORD))],
        sudo_password: Some(Secret::new(PASSWORD)),
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_of_the_lab_holds_the_contracts() {
    if !tandem_tests::enabled() {
        return;
    }
    let lab = Lab::start().await.expect("the lab starts");
    let machine = machine().await;
    machine_contract(machine.as_ref()).await;
    as_root(machine.as_ref()).await;
    sudo_refuses(&lab, &machine).await;
    let containers = SshContainers::new(Arc::clone(&machine));
    roads_to_docker(&lab, &machine, &containers).await;
    containers_contract(&containers, IMAGE, Walls::Own).await;
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
