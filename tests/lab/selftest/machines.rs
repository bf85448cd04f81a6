//! What befalls a machine: restarts, its faults, and the way back to its first day.

use std::time::Instant;

use tandem_tests::{IMAGE, Lab, Link, PASSWORD, Spark, USER, enabled};

use crate::{RAILS, address, ssh};

#[tokio::test(flavor = "multi_thread")]
async fn a_reboot_comes_back_and_forgets_what_was_only_in_memory() {
    if !enabled() {
        return;
    }
    let lab = Lab::start().await.unwrap();
    lab.must(
        Spark::B,
        &["ip", "addr", "add", "192.0.2.9/24", "dev", RAILS[0]],
    )
    .await
    .unwrap();
    lab.must(Spark::B, &["touch", "/tmp/before", "/home/nvidia/before"])
        .await
        .unwrap();
    let boot = ["cat", "/proc/sys/kernel/random/boot_id"];
    let first = lab.must(Spark::B, &boot).await.unwrap();
    lab.reboot(Spark::B).await.unwrap();
    assert_ne!(first, lab.must(Spark::B, &boot).await.unwrap());
    let said = ssh(
        Spark::B,
        "ip -br addr; ls /tmp/before; ls /home/nvidia/before",
    )
    .await;
    assert!(
        !said.stdout.contains("192.0.2.9"),
        "an address set by hand survived: {}",
        said.stdout
    );
    assert!(!said.stdout.contains("/tmp/before"), "/tmp survived");
    assert!(
        said.stdout.contains("/home/nvidia/before"),
        "the home did not survive"
    );
    assert!(lab.exec(Spark::B, &["docker", "ps"]).await.unwrap().ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_machine_can_be_made_and_unmade() {
    if !enabled() {
        return;
    }
    let lab = Lab::start().await.unwrap();
    let spark = Spark::A;
    let before = lab.snapshot(spark).await.unwrap();
    let fingerprint = ["ssh-keygen", "-lf", "/etc/ssh/ssh_host_ed25519_key.pub"];
    let key = lab.must(spark, &fingerprint).await.unwrap();

    lab.fill_disk(spark, 1 << 20).await.unwrap();
    let full = ssh(spark, "head -c 8000000 /dev/zero > big").await;
    assert!(full.stderr.contains("No space left"), "{}", full.stderr);
    lab.free_disk(spark).await.unwrap();
    assert!(
        ssh(spark, "head -c 8000000 /dev/zero > big && rm big")
            .await
            .ok()
    );

    lab.stop_sshd(spark).await.unwrap();
    assert_eq!(ssh(spark, "true").await.status, 255);
    lab.start_sshd(spark).await.unwrap();
    assert!(ssh(spark, "true").await.ok());

    lab.revoke_sudo(spark).await.unwrap();
    let sudo = format!("echo {PASSWORD} | sudo -S -p '' true");
    assert!(!ssh(spark, &sudo).await.ok());
    lab.grant_sudo(spark).await.unwrap();
    assert!(ssh(spark, &sudo).await.ok());

    lab.docker_group(spark, USER, true).await.unwrap();
    assert!(ssh(spark, "docker ps").await.ok());
    lab.stop_docker(spark).await.unwrap();
    assert!(!ssh(spark, "docker ps").await.ok());
    lab.start_docker(spark).await.unwrap();
    assert!(ssh(spark, "docker ps").await.ok());
    lab.docker_group(spark, USER, false).await.unwrap();

    lab.listen(spark, 8000).await.unwrap();
    assert!(
        tokio::net::TcpStream::connect((spark.address(), 8000))
            .await
            .is_ok()
    );
    lab.unlisten(spark, 8000).await.unwrap();
    assert!(
        tokio::net::TcpStream::connect((spark.address(), 8000))
            .await
            .is_err()
    );

    lab.must(
        spark,
        &["systemd-run", "--quiet", "--collect", "sleep", "4711"],
    )
    .await
    .unwrap();
    assert!(lab.kill(spark, "sleep 4711").await.unwrap());
    assert!(!lab.kill(spark, "sleep 4711").await.unwrap());

    assert_eq!(before.changes(&lab.snapshot(spark).await.unwrap()), [""; 0]);
    lab.swap_host_key(spark).await.unwrap();
    assert_ne!(key, lab.must(spark, &fingerprint).await.unwrap());
    let changes = before.changes(&lab.snapshot(spark).await.unwrap());
    assert!(
        changes.iter().any(|c| c.contains("ssh_host_ed25519_key")),
        "{changes:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reset_makes_both_machines_as_on_the_first_day() {
    if !enabled() {
        return;
    }
    let lab = Lab::start().await.unwrap();
    let before = [
        lab.snapshot(Spark::A).await.unwrap(),
        lab.snapshot(Spark::B).await.unwrap(),
    ];
    let again = lab.snapshot(Spark::A).await.unwrap();
    assert_eq!(
        before[0].touched(&again),
        [""; 0],
        "looking changed something"
    );

    address(&lab).await;
    lab.must(Spark::A, &["docker", "pull", "-q", IMAGE])
        .await
        .unwrap();
    lab.must(Spark::B, &["useradd", "somebody"]).await.unwrap();
    lab.cut(Link::Cable).await.unwrap();
    let changes = before[0].changes(&lab.snapshot(Spark::A).await.unwrap());
    for part in ["60-selftest.yaml", "link enp1s0f1np1", "docker images"] {
        assert!(
            changes.iter().any(|c| c.contains(part)),
            "{part} is not in {changes:?}"
        );
    }

    let start = Instant::now();
    lab.reset().await.unwrap();
    println!("a reset took {:?}", start.elapsed());
    for (spark, before) in Spark::BOTH.into_iter().zip(&before) {
        assert_eq!(before.changes(&lab.snapshot(spark).await.unwrap()), [""; 0]);
    }
}
