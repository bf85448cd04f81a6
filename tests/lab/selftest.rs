//! The lab, tried itself: whatever another test builds on is seen to work here first.

#![allow(clippy::unwrap_used, reason = "all of this is a test, its helpers too")]

use std::process::Stdio;
use std::time::{Duration, Instant};

use tandem_tests::{IMAGE, Lab, Link, Output, PASSWORD, Spark, USER, enabled, until};

#[path = "selftest/machines.rs"]
mod machines;

/// The private addresses of both twins, with the last part left open.
const TWINS: [&str; 2] = ["192.168.177", "192.168.178"];
const RAILS: [&str; 2] = ["enp1s0f1np1", "enP2p1s0f1np1"];

/// Logs in as a person would, with the password, and runs a line of shell.
async fn ssh(spark: Spark, line: &str) -> Output {
    let login = format!("{USER}@{}", spark.address());
    let done = tokio::process::Command::new("sshpass")
        .args([
            "-e",
            "ssh",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            "UserKnownHostsFile=/dev/null",
        ])
        .args([
            "-o",
            "PubkeyAuthentication=no",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "ConnectTimeout=10",
            &login,
            line,
        ])
        .env("SSHPASS", PASSWORD)
        .stdin(Stdio::null())
        .output()
        .await
        .expect("sshpass and ssh are installed");
    Output {
        status: done.status.code().unwrap_or(255),
        stdout: String::from_utf8_lossy(&done.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

/// Addresses both twins of both machines by netplan.
async fn address(lab: &Lab) {
    for (spark, host) in [(Spark::A, 11), (Spark::B, 12)] {
        let mut plan = "network:\n  version: 2\n  ethernets:\n".to_owned();
        for (rail, twin) in RAILS.iter().zip(TWINS) {
            plan += &format!(
                "    {rail}:\n      dhcp4: no\n      dhcp6: no\n      link-local: []\n      mtu: 9000\n      addresses: [{twin}.{host}/24]\n"
            );
        }
        let path = "/etc/netplan/60-selftest.yaml";
        let written = lab
            .exec_with(
                spark,
                &["sh", "-c", "umask 077; cat > \"$1\"", "sh", path],
                plan.as_bytes(),
            )
            .await
            .unwrap();
        assert!(written.ok(), "{}", written.stderr);
        let applied = lab.exec(spark, &["netplan", "apply"]).await.unwrap();
        assert!(applied.ok(), "netplan apply: {}", applied.stderr);
    }
    // networkd answers before it has done all.
    until(
        "both twins to be addressed",
        Duration::from_secs(20),
        || async {
            jumbo(lab, 0).await.then_some(())?;
            jumbo(lab, 1).await.then_some(())
        },
    )
    .await
    .unwrap();
}

/// Whether one full jumbo frame gets from a to b and back over a twin, unsplit.
async fn jumbo(lab: &Lab, twin: usize) -> bool {
    let target = format!("{}.12", TWINS[twin]);
    lab.exec(
        Spark::A,
        &[
            "ping",
            "-M",
            "do",
            "-s",
            "8972",
            "-c",
            "1",
            "-W",
            "1",
            "-I",
            RAILS[twin],
            &target,
        ],
    )
    .await
    .unwrap()
    .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_machines_are_like_a_fresh_spark() {
    if !enabled() {
        return;
    }
    let lab = Lab::start().await.unwrap();
    let mut ids = Vec::new();
    for spark in Spark::BOTH {
        let said = ssh(
            spark,
            "hostname; id -nG; cat /etc/machine-id; systemctl is-system-running",
        )
        .await;
        assert!(said.ok(), "{}", said.stderr);
        let lines: Vec<_> = said.stdout.lines().collect();
        assert_eq!(
            [lines[0], lines[1], lines[3]],
            [spark.name(), "nvidia sudo", "running"]
        );
        ids.push(lines[2].to_owned());

        assert_ne!(
            ssh(spark, "sudo -n true").await.status,
            0,
            "sudo has to ask for a password"
        );
        let root = ssh(spark, &format!("echo {PASSWORD} | sudo -S -p '' id -u")).await;
        assert_eq!(root.stdout.trim(), "0", "{}", root.stderr);

        let unit = ssh(
            spark,
            "systemd-run --user --quiet --wait --pipe echo from the user manager",
        )
        .await;
        assert_eq!(
            unit.stdout.trim(),
            "from the user manager",
            "{}",
            unit.stderr
        );

        let denied = ssh(spark, "docker ps").await;
        assert!(
            denied.stderr.contains("permission denied"),
            "{}",
            denied.stderr
        );

        let hardware = ssh(
            spark,
            "nvidia-smi --query-gpu=name,driver_version --format=csv,noheader; ibdev2netdev; \
             cat /sys/class/infiniband/rocep1s0f1/ports/1/state /sys/class/net/enp1s0f1np1/speed; . /etc/dgx-release; echo $DGX_NAME",
        )
        .await;
        assert_eq!(
            hardware.stdout.lines().collect::<Vec<_>>(),
            [
                "NVIDIA GB10, 580.159.03",
                "roceP2p1s0f0 port 1 ==> enP2p1s0f0np0 (Down)",
                "roceP2p1s0f1 port 1 ==> enP2p1s0f1np1 (Up)",
                "rocep1s0f0 port 1 ==> enp1s0f0np0 (Down)",
                "rocep1s0f1 port 1 ==> enp1s0f1np1 (Up)",
                "4: ACTIVE",
                "200000",
                "DGX Spark",
            ]
        );
    }
    assert_ne!(ids[0], ids[1]);
    let road = lab
        .exec(Spark::A, &["curl", "-sS", "-m", "2", "http://192.0.2.1/"])
        .await
        .unwrap();
    assert!(!road.ok(), "there is a road to the internet");
}

#[tokio::test(flavor = "multi_thread")]
async fn netplan_addresses_the_twins_and_a_cable_can_fail_in_many_ways() {
    if !enabled() {
        return;
    }
    let lab = Lab::start().await.unwrap();
    let before = lab.snapshot(Spark::A).await.unwrap();
    address(&lab).await;

    lab.cut(Link::FirstTwin).await.unwrap();
    assert!(
        !jumbo(&lab, 0).await && jumbo(&lab, 1).await,
        "one twin is cut, the other is not"
    );
    let said = ssh(
        Spark::B,
        "ibdev2netdev; cat /sys/class/infiniband/rocep1s0f1/ports/1/state",
    )
    .await
    .stdout;
    assert!(
        said.contains("enp1s0f1np1 (Down)") && said.contains("enP2p1s0f1np1 (Up)"),
        "{said}"
    );
    assert!(said.contains("1: DOWN"), "{said}");
    lab.mend(Link::FirstTwin).await.unwrap();
    until("the mended twin", Duration::from_secs(10), || async {
        jumbo(&lab, 0).await.then_some(())
    })
    .await
    .unwrap();

    lab.shrink(Link::Cable, 1500).await.unwrap();
    assert!(
        !jumbo(&lab, 0).await,
        "a frame of 9000 came through a link of 1500"
    );
    let small = lab
        .exec(Spark::A, &["ping", "-c", "1", "-W", "1", "192.168.177.12"])
        .await
        .unwrap();
    assert!(small.ok(), "small frames have to pass");
    lab.shrink(Link::Cable, 9216).await.unwrap();

    lab.delay(Link::SecondTwin, 150).await.unwrap();
    let start = Instant::now();
    until("the delayed twin", Duration::from_secs(10), || async {
        lab.exec(Spark::A, &["ping", "-c", "1", "-W", "3", "192.168.178.12"])
            .await
            .ok()?
            .ok()
            .then_some(())
    })
    .await
    .unwrap();
    assert!(
        start.elapsed() >= Duration::from_millis(300),
        "there and back took {:?}",
        start.elapsed()
    );
    lab.delay(Link::SecondTwin, 0).await.unwrap();
    until(
        "the twin without delay",
        Duration::from_secs(10),
        || async { jumbo(&lab, 1).await.then_some(()) },
    )
    .await
    .unwrap();

    lab.rate(Link::Management(Spark::A), Some(8)).await.unwrap();
    let start = Instant::now();
    let receiver = "import socket\ns=socket.create_server(('',9000))\nc,_=s.accept()\nn=0\n\
                    while d:=c.recv(65536): n+=len(d)\nprint(n)";
    let receive = ["python3", "-c", receiver];
    let sent = lab.exec(Spark::A, &receive);
    let feed = async {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = until("the receiver", Duration::from_secs(10), || async {
            tokio::net::TcpStream::connect((Spark::A.address(), 9000))
                .await
                .ok()
        })
        .await
        .unwrap();
        stream.write_all(&vec![7; 2_000_000]).await.unwrap();
    };
    let (sent, ()) = tokio::join!(sent, feed);
    assert_eq!(sent.unwrap().stdout.trim(), "2000000");
    assert!(
        start.elapsed() > Duration::from_millis(1500),
        "16 Mbit at 8 Mbit/s took {:?}",
        start.elapsed()
    );
    lab.rate(Link::Management(Spark::A), None).await.unwrap();

    // What netplan did can be taken back by netplan, but for the size of the frames.
    lab.must(Spark::A, &["rm", "/etc/netplan/60-selftest.yaml"])
        .await
        .unwrap();
    lab.must(Spark::A, &["netplan", "apply"]).await.unwrap();
    for rail in RAILS {
        lab.must(Spark::A, &["ip", "link", "set", rail, "mtu", "1500"])
            .await
            .unwrap();
    }
    until(
        "the machine to be as before",
        Duration::from_secs(20),
        || async {
            before
                .changes(&lab.snapshot(Spark::A).await.ok()?)
                .is_empty()
                .then_some(())
        },
    )
    .await
    .unwrap_or_else(|e| panic!("{e}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_pulled_from_the_mirror_and_run_as_on_a_spark() {
    if !enabled() {
        return;
    }
    let lab = Lab::start().await.unwrap();
    lab.docker_group(Spark::A, USER, true).await.unwrap();
    let pulled = ssh(Spark::A, &format!("docker pull -q {IMAGE}")).await;
    assert!(pulled.ok(), "{}", pulled.stderr);
    let run = ssh(
        Spark::A,
        &format!(
            "docker run --rm --gpus all --network host --ipc host --ulimit memlock=-1 --ulimit stack=67108864 \
             --device /dev/infiniband --cap-add IPC_LOCK --entrypoint sh {IMAGE} -c 'ls /dev/infiniband /usr/local/bin; cat /sys/class/net/enP7s7/address'"
        ),
    )
    .await;
    assert!(run.ok(), "{}", run.stderr);
    for part in ["uverbs0", "vllm", "4c:bb:47:2f:fb:97"] {
        assert!(run.stdout.contains(part), "{part} is not in {}", run.stdout);
    }
    let privileged = ssh(
        Spark::A,
        &format!("docker run --rm --privileged --entrypoint id {IMAGE} -u"),
    )
    .await;
    assert_eq!(privileged.stdout.trim(), "0", "{}", privileged.stderr);
    let absent = ssh(Spark::A, "docker pull vllm/vllm-openai:no-such-tag").await;
    assert!(!absent.ok(), "a tag that does not exist was pulled");

    // Both machines get the same image.
    lab.must(Spark::B, &["docker", "pull", "-q", IMAGE])
        .await
        .unwrap();
    let id = ["docker", "image", "inspect", "-f", "{{.Id}}", IMAGE];
    assert_eq!(
        lab.must(Spark::A, &id).await.unwrap(),
        lab.must(Spark::B, &id).await.unwrap()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_machines_reach_the_hub_of_the_lab() {
    if !enabled() {
        return;
    }
    let lab = Lab::start().await.unwrap();
    let repos = tempfile::tempdir().unwrap();
    let _hub = lab.hub(repos.path()).await.unwrap();
    let said = lab
        .exec(
            Spark::B,
            &[
                "curl",
                "-sS",
                "-m",
                "5",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                &lab.hub_endpoint(),
            ],
        )
        .await
        .unwrap();
    assert!(said.ok(), "{}", said.stderr);
}
