//! Another computer's Tandem on the same machines: it is named, nothing is begun, and its lease is not outlived.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tandem::app::{App, Programs};
use tandem_domain::problem::Code;
use tandem_domain::run::{Event, RunOutcome, RunSignal};
use tokio::sync::mpsc;

/// The programs of this build, beside each other.
fn programs() -> Programs {
    let exe = std::env::current_exe().expect("this test is a program");
    Programs::find(exe.ancestors().nth(2).map(PathBuf::from))
}

/// The lease files of the rehearsed machines.
fn leases(folder: &Path) -> Vec<PathBuf> {
    let machines = std::fs::read_dir(folder.join("rehearsal")).expect("it is listed");
    let homes = machines.map(|m| m.expect("it is listed").path().join("home"));
    homes
        .filter(|home| home.is_dir())
        .map(|home| home.join(".local/share/tandem/lease"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_computer_on_the_same_machines_is_named_and_nothing_is_begun() {
    let folder = tempfile::tempdir().expect("a folder");
    let opened = App::open(folder.path(), programs()).await;
    let app = opened.expect("the app opens");
    app.start_rehearsal().await.expect("a rehearsal");
    let leases = leases(folder.path());
    assert_eq!(leases.len(), 2, "two machines");

    let now = SystemTime::now();
    let since = now
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let theirs = &leases[1];
    std::fs::create_dir_all(theirs.parent().expect("a folder")).expect("made");
    std::fs::write(theirs, format!("theirs\nben@desk\nr9\n{since}\n")).expect("written");
    let request = app.propose_link(false).await.expect("a plan").request;
    let refused = app.start_link(request.clone()).await;
    let problem = refused.expect_err("somebody works there");
    assert_eq!(problem.code, Code::Locked);
    let cause = problem.cause.expect("it says who");
    assert!(cause.contains("`ben@desk` works on"), "{cause}");
    assert!(!leases[0].exists(), "what was taken is given back");
    assert!(
        app.list_runs().await.expect("listed").is_empty(),
        "nothing is begun"
    );

    // Its computer has gone.
    let old = now - tandem_domain::lease::STALE_AFTER - Duration::from_secs(1);
    let file = std::fs::File::options().write(true).open(theirs);
    file.expect("it is there").set_modified(old).expect("set");
    let run = app.start_link(request).await.expect("it begins");
    assert!(leases.iter().all(|lease| lease.exists()), "both are held");
    let text = std::fs::read_to_string(theirs).expect("read");
    assert!(text.contains(&run.0), "{text}");
    let (tell, mut told) = mpsc::unbounded_channel();
    let watched = app
        .watch_run(&run, 0, move |signal| tell.send(signal).is_ok())
        .await;
    watched.expect("it is watched");
    let outcome = loop {
        match told.recv().await.expect("it ends") {
            RunSignal::Event { event } => {
                if let Event::Finished { outcome } = event.event {
                    break outcome;
                }
            }
            RunSignal::Stopped { problem } => panic!("{problem}"),
            _ => {}
        }
    };
    assert_eq!(outcome, RunOutcome::Completed);
    assert!(
        !leases.iter().any(|lease| lease.exists()),
        "both are given back"
    );
    app.leave_rehearsal()
        .await
        .expect("nothing is left running");
}
