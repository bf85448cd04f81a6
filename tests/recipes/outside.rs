//! What answers from another network while a set-up goes on, is done and is undone.
//!
//! The box is on the management network of the machines, as a stranger's computer is on the LAN of two Sparks. It
//! also gives itself a route to the addresses of the cable by way of the machines, for Linux would answer there.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt as _;
use tandem_tests::{Lab, Spark, rails};
use tokio_util::sync::CancellationToken;

/// How long a connection may take; on the box one is made or refused at once.
const PATIENCE: Duration = Duration::from_millis(400);
/// Connections at a time.
const TOGETHER: usize = 500;
/// The one port that is meant to be reached.
const SSH: u16 = 22;

async fn answers(address: &str, port: u16) -> bool {
    let connecting = tokio::net::TcpStream::connect((address, port));
    matches!(tokio::time::timeout(PATIENCE, connecting).await, Ok(Ok(_)))
}

/// Every TCP port of both machines that answers, but SSH's.
pub(crate) async fn scan() -> Vec<String> {
    let mut found = Vec::new();
    for spark in Spark::BOTH {
        let ports = futures::stream::iter((1..=u16::MAX).filter(|p| *p != SSH));
        let answering = ports
            .map(|port| async move { answers(spark.address(), port).await.then_some(port) })
            .buffer_unordered(TOGETHER)
            .filter_map(std::future::ready);
        let open: Vec<u16> = answering.collect().await;
        found.extend(open.iter().map(|p| format!("{}:{p}", spark.name())));
    }
    found
}

/// What listens in a machine on addresses that others may reach: protocol and address.
pub(crate) async fn listeners(lab: &Lab, spark: Spark) -> BTreeSet<String> {
    let said = lab.must(spark, &["ss", "-H", "-ltun"]).await;
    let said = said.expect("ss runs");
    let words = said.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{} {}", words.next()?, words.nth(3)?))
    });
    words.filter(|w| !w.contains(" 127.")).collect()
}

/// What was seen while it was looked.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Everything that listened inside.
    pub(crate) listened: BTreeSet<String>,
    /// What of it answered from outside.
    pub(crate) answered: BTreeSet<String>,
}

/// Looks again and again, at every port that something listens on inside, until it is told to stop.
pub(crate) async fn watch(lab: &Lab, stop: CancellationToken) -> Seen {
    for spark in Spark::BOTH {
        for address in rails::addresses(spark) {
            route("replace", &address, spark).await;
        }
    }
    let looks = Spark::BOTH.map(|spark| watch_one(lab, spark, &stop));
    let mut seen = Seen::default();
    for of_one in futures::future::join_all(looks).await {
        seen.listened.extend(of_one.listened);
        seen.answered.extend(of_one.answered);
    }
    for spark in Spark::BOTH {
        for address in rails::addresses(spark) {
            route("del", &address, spark).await;
        }
    }
    seen
}

/// Neither machine waits for the other.
async fn watch_one(lab: &Lab, spark: Spark, stop: &CancellationToken) -> Seen {
    let mut seen = Seen::default();
    while !stop.is_cancelled() {
        let found = look(lab, spark).await;
        seen.listened.extend(found.listened);
        seen.answered.extend(found.answered);
    }
    seen
}

/// Everything is tried at once: a port that is closed to others takes the whole patience, and what listens for a
/// moment only is found by looking often.
async fn look(lab: &Lab, spark: Spark) -> Seen {
    let mut seen = Seen::default();
    let mut tries = Vec::new();
    for listener in listeners(lab, spark).await {
        let Some((_, at)) = listener.split_once("tcp ") else {
            continue;
        };
        let Some((address, port)) = at.rsplit_once(':') else {
            continue;
        };
        let Ok(port) = port.parse::<u16>() else {
            continue;
        };
        seen.listened.insert(format!("{}: {at}", spark.name()));
        if port == SSH {
            continue;
        }
        for to in [spark.address(), address] {
            if to
                .parse::<std::net::Ipv4Addr>()
                .is_ok_and(|a| !a.is_unspecified())
            {
                let (to, said) = (to.to_owned(), format!("{}: {at} at {to}", spark.name()));
                tries.push(async move { answers(&to, port).await.then_some(said) });
            }
        }
    }
    let answered = futures::future::join_all(tries).await;
    seen.answered.extend(answered.into_iter().flatten());
    seen
}

async fn route(act: &str, address: &str, spark: Spark) {
    let to = format!("{address}/32");
    let words = ["route", act, &to, "via", spark.address()];
    let done = tokio::process::Command::new("ip")
        .args(words)
        .status()
        .await;
    assert!(done.expect("ip runs").success(), "ip {words:?}");
}
