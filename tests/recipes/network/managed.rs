//! NetworkManager owns the private ports, as on the desktop of DGX OS: with automatic profiles on one
//! machine, and on the other with two that somebody saved under one and the same name.

use std::time::Duration;

use tandem_domain::run::Status;
use tandem_tests::{Spark, until};

use crate::network::{FILE, driver, go, status};
use crate::stage::{Stage, snapshots};

/// A saved profile as the settings of the desktop write it.
fn saved(port: &str, uuid: &str) -> String {
    format!(
        "[connection]\nid=Wired connection 1\nuuid={uuid}\ntype=ethernet\ninterface-name={port}\n\n\
         [ipv4]\nmethod=auto\n\n[ipv6]\naddr-gen-mode=default\nmethod=auto\n"
    )
}

const SAVED: [(&str, &str); 2] = [
    ("enp1s0f1np1", "15d31a71-f3fb-4ce0-9132-3509b34bab24"),
    ("enP2p1s0f1np1", "e77d481f-837c-449b-8c5a-de01b5f2860e"),
];

#[tokio::test(flavor = "multi_thread")]
async fn profiles_of_network_manager_let_go_of_the_ports_and_come_back() {
    let Some(mut stage) = Stage::managed().await else {
        return;
    };
    // Without the automatic ones, which a start would number again beside those that are saved.
    let known = nmcli(&stage, Spark::B, &["-g", "UUID,NAME", "connection"]).await;
    let automatic = known.lines().filter(|l| l.contains(":Wired connection"));
    for uuid in automatic.filter_map(|l| l.split(':').next()) {
        nmcli(&stage, Spark::B, &["connection", "delete", "uuid", uuid]).await;
    }
    for (port, uuid) in SAVED {
        let path = format!("/etc/NetworkManager/system-connections/{port}.nmconnection");
        stage.write(Spark::B, &path, &saved(port, uuid)).await;
    }
    nmcli(&stage, Spark::B, &["connection", "reload"]).await;
    for (port, uuid) in SAVED {
        let up = [
            "--wait",
            "0",
            "connection",
            "up",
            "uuid",
            uuid,
            "ifname",
            port,
        ];
        nmcli(&stage, Spark::B, &up).await;
    }
    let automatic = active(&stage, Spark::A).await;
    assert!(automatic.iter().all(|u| u.len() == 36), "{automatic:?}");
    let has = until("the saved profiles", Duration::from_secs(10), || async {
        (active(&stage, Spark::B).await == SAVED.map(|(_, uuid)| uuid)).then_some(())
    });
    has.await.expect("they have the ports");
    let names = nmcli(&stage, Spark::B, &["-g", "NAME", "connection"]).await;
    let same = names.lines().filter(|n| *n == "Wired connection 1").count();
    assert!(same > 1, "a name says nothing here: {names}");
    stage.before = snapshots(&stage.lab).await;

    let bed = stage.bed_of("managed").await;
    go(&bed, 60).await;
    assert_eq!(status(&bed).await, Status::Verified, "{}", bed.told().await);
    for spark in Spark::BOTH {
        for uuid in active(&stage, spark).await {
            let asked = ["-g", "connection.id", "connection", "show", &uuid];
            let name = nmcli(&stage, spark, &asked).await;
            assert!(name.starts_with("netplan-"), "{spark:?} has {name}");
        }
    }

    // What netplan made has to win when the machine starts, too.
    stage.lab.reboot(Spark::B).await.expect("it restarts");
    let addressed = until("the addresses", Duration::from_secs(20), || async {
        let said = stage.lab.exec(Spark::B, &["ip", "-4", "addr"]).await.ok()?;
        let has = |a: &str| said.stdout.contains(a);
        (has("192.168.100.11/24") && has("192.168.101.11/24")).then_some(())
    });
    addressed.await.expect("they are there after a start");

    driver(&bed, 60).await.undo().await;
    assert_eq!(status(&bed).await, Status::Undone, "{}", bed.told().await);
    // The hashes of all profiles, who is active, and the addresses.
    stage.as_before("the profiles to be as they were").await;
    assert_eq!(active(&stage, Spark::A).await, automatic);
    for spark in Spark::BOTH {
        // A profile that is left in memory takes the port again once no DHCP server has answered.
        let known = nmcli(&stage, spark, &["-g", "NAME", "connection"]).await;
        assert!(!known.contains("netplan-"), "{spark:?} knows {known}");
    }

    // The app dies in the middle, and the machines heal by themselves: the profiles, too.
    let going = tokio::spawn({
        let bed = bed.clone().begin("killed").await;
        async move { go(&bed, 5).await }
    });
    stage.changing(Spark::A).await;
    stage.changing(Spark::B).await;
    going.abort();
    stage.as_before("the machines to heal by themselves").await;
    for spark in Spark::BOTH {
        let known = nmcli(&stage, spark, &["-g", "NAME", "connection"]).await;
        assert!(!known.contains("netplan-"), "{spark:?} knows {known}");
        let left = stage.lab.exec(spark, &["test", "-e", FILE]).await;
        assert!(!left.expect("it is looked at").ok(), "the file is gone");
    }
}

/// The profile that each private port has, by its UUID.
async fn active(stage: &Stage, spark: Spark) -> Vec<String> {
    let mut all = Vec::new();
    for (port, _) in SAVED {
        let asked = ["-g", "GENERAL.CON-UUID", "device", "show", port];
        all.push(nmcli(stage, spark, &asked).await.trim().to_owned());
    }
    all
}

async fn nmcli(stage: &Stage, spark: Spark, args: &[&str]) -> String {
    let argv: Vec<&str> = ["nmcli"].into_iter().chain(args.iter().copied()).collect();
    stage
        .lab
        .must(spark, &argv)
        .await
        .expect("NetworkManager answers")
}
