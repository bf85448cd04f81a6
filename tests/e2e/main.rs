//! Journeys through the real window, driven as a person would: by what is to be read on it.
//!
//! Each keeps its screenshots in `test-artifacts/`, and if it fails also the page and what the app wrote.

mod desk;
mod faults;
mod hands;
mod hostile;
mod lab;
mod pictures;
mod rehearsal;

use std::panic::{AssertUnwindSafe, resume_unwind};

use desk::Desk;
use futures::FutureExt as _;
use tandem_rehearsal::hub::Hub;
use tandem_tests::{Lab, enabled};
use tokio::sync::{Mutex, MutexGuard};

/// One journey at a time: the box has few cores, and a window that waits for one tells nothing.
static ONE: Mutex<()> = Mutex::const_new(());

/// Waits for its turn; `None` where journeys shall not run.
async fn turn() -> Option<MutexGuard<'static, ()>> {
    if !enabled() {
        return None;
    }
    Some(ONE.lock().await)
}

/// Goes on a journey at a desk of its own, and keeps the evidence if it fails.
async fn travel(name: &'static str, hub: Option<String>, journey: impl AsyncFnOnce(&mut Desk)) {
    let mut desk = Desk::new(name, hub).await.expect("a desk is made");
    let result = AssertUnwindSafe(journey(&mut desk)).catch_unwind().await;
    if result.is_err() {
        desk.keep_evidence().await;
    }
    desk.close().await;
    if let Err(why) = result {
        resume_unwind(why);
    }
}

/// Two fresh machines and a Hub with the tiny checkpoints.
async fn lab(folder: &tempfile::TempDir) -> (Lab, Hub) {
    let lab = Lab::start().await.expect("the lab starts");
    let hub = lab.hub(folder.path()).await.expect("the Hub starts");
    (lab, hub)
}

#[tokio::test(flavor = "multi_thread")]
async fn from_first_start_to_the_link_alone_then_to_a_chat_answer_with_an_image() {
    let Some(_turn) = turn().await else { return };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (_lab, hub) = lab(&folder).await;
    // It ends with two machines as they were, so the next one needs no others.
    travel("link", None, lab::link).await;
    travel("journey", Some(hub.endpoint()), async |desk| {
        lab::whole(desk, &hub).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_added_is_said_and_nothing_is_kept() {
    let Some(_turn) = turn().await else { return };
    let folder = tempfile::tempdir().expect("a folder can be made");
    let (lab, hub) = lab(&folder).await;
    travel("faults", Some(hub.endpoint()), async |desk| {
        faults::adding(desk, &lab).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_needs_no_lab() {
    let Some(_turn) = turn().await else { return };
    travel("rehearsal", None, rehearsal::whole).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rehearsal_restarts_both_machines_and_measures_again() {
    let Some(_turn) = turn().await else { return };
    travel("restarted", None, rehearsal::restarted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_want_to_act_do_nothing() {
    let Some(_turn) = turn().await else { return };
    travel("hostile", None, hostile::answers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_and_resumed() {
    let Some(_turn) = turn().await else { return };
    travel("killed", None, rehearsal::killed).await;
}
