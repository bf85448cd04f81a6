//! Leases on a machine, by real shells in a rehearsal's folder.

use std::path::Path;
use std::time::Duration;

use tandem_domain::lease::{self, Holder, LeaseError, Leased, STALE_AFTER};
use tandem_domain::ports::{Command, Machine};
use tandem_domain::problem::Code;
use tandem_rehearsal::machines::Rehearsal;

const FILE: &str = ".local/share/tandem/lease";

fn holder(word: &str, who: &str) -> Holder {
    Holder {
        word: word.into(),
        who: who.into(),
        run: "r1".into(),
    }
}

/// Two computers come to the same machines so often, at about the same time and each with its own order of them. One
/// works each time, and the other is told who does.
pub(crate) async fn meetings(machines: &[Leased<'_>], count: u64) {
    let reversed: Vec<Leased<'_>> = machines.iter().rev().copied().collect();
    let (anna, ben) = (holder("w1", "anna@laptop"), holder("w2", "ben@desk"));
    let mut won = [0; 2];
    for n in 0..count {
        // Each is the first to come in half of the meetings, by up to 20 ms.
        let after = |ms: u64| tokio::time::sleep(Duration::from_millis(ms));
        let (late, later) = if n % 2 == 0 { (0, n % 21) } else { (n % 21, 0) };
        let (by_anna, by_ben) = tokio::join!(
            async {
                after(late).await;
                lease::take_all(machines, &anna).await
            },
            async {
                after(later).await;
                lease::take_all(&reversed, &ben).await
            },
        );
        let (winner, holder, refused) = match (by_anna, by_ben) {
            (Ok(untaken), Err(refused)) if untaken.is_empty() => (0, &anna, refused),
            (Err(refused), Ok(untaken)) if untaken.is_empty() => (1, &ben, refused),
            other => panic!("meeting {n}: {other:?}"),
        };
        won[winner] += 1;
        assert_eq!(refused.code, Code::Locked);
        let cause = refused.cause.unwrap_or_default();
        assert!(cause.contains(&holder.who), "meeting {n}: {cause}");
        for machine in machines {
            assert!(lease::renew(machine.shell, holder).await.unwrap());
            lease::give_back(machine.shell, holder).await.unwrap();
        }
    }
    println!("{count} meetings, won {won:?}");
    assert!(won.iter().all(|n| *n > 0), "{won:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_computers_that_meet_one_works_whatever_their_order_is() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new("/bin/sh");
    let rehearsal = Rehearsal::open(folder.path(), program, program).await;
    let machines = rehearsal.expect("it opens").machines();
    let ids = ["b", "a"];
    let all: Vec<Leased<'_>> = machines
        .iter()
        .zip(ids)
        .map(|(machine, machine_id)| Leased {
            machine_id,
            name: &machine.name,
            shell: machine.shell.as_ref(),
        })
        .collect();
    meetings(&all, 40).await;
}

async fn sh(machine: &dyn Machine, script: &str) -> bool {
    let command = Command::new("sh", ["-c", script]);
    machine.exec(&command).await.expect("it answers").ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_at_a_time_works_on_a_machine_and_the_other_is_told_who() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new("/bin/sh");
    let rehearsal = Rehearsal::open(folder.path(), program, program).await;
    let machine = rehearsal.expect("it opens").machines().remove(0);
    let machine = machine.shell.as_ref();
    let anna = holder("w1", "anna@laptop");
    let ben = holder("w2", "ben@desk");

    lease::take(machine, &anna)
        .await
        .expect("nobody works there");
    lease::take(machine, &anna).await.expect("it is hers");
    let held = lease::take(machine, &ben).await.expect_err("it is held");
    let LeaseError::Held { who, since } = &held else {
        panic!("{held:?}");
    };
    assert_eq!(who, "anna@laptop");
    assert_eq!((since.len(), &since[2..3]), (5, ":"), "{since}");
    let problem = held.problem("spark-a");
    assert_eq!(problem.code, Code::Locked);
    assert!(
        problem
            .cause
            .unwrap()
            .contains("`anna@laptop` works on `spark-a` since")
    );

    // Nobody else renews it or gives it back.
    assert!(!lease::renew(machine, &ben).await.unwrap());
    lease::give_back(machine, &ben).await.unwrap();
    assert!(lease::renew(machine, &anna).await.unwrap());

    // What was not renewed for long is taken over, and the first is told at its next renewal.
    let old = format!(
        "touch -d '{} seconds ago' ~/{FILE}",
        STALE_AFTER.as_secs() + 1
    );
    assert!(sh(machine, &old).await);
    lease::take(machine, &ben).await.expect("it is stale");
    assert!(!lease::renew(machine, &anna).await.unwrap());
    lease::give_back(machine, &anna).await.unwrap();
    assert!(lease::renew(machine, &ben).await.unwrap(), "it stayed");
    lease::give_back(machine, &ben).await.unwrap();
    assert!(
        sh(machine, "! test -e ~/.local/share/tandem").await,
        "nothing is left"
    );

    // Of many that come at once one is first.
    let comers: Vec<Holder> = (0..8).map(|n| holder(&format!("c{n}"), "x@y")).collect();
    let takes = comers.iter().map(|comer| lease::take(machine, comer));
    let taken = futures::future::join_all(takes).await;
    assert_eq!(taken.iter().filter(|t| t.is_ok()).count(), 1, "{taken:?}");
}
