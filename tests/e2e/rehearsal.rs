//! The journeys that need no lab.

use std::time::Duration;

use crate::desk::Desk;
use crate::hands::{ENTER, Hands, button, heading, screen, step};

/// How long a set-up over tiny weights may take.
pub(crate) const RUN: Duration = Duration::from_secs(120);

/// A verdict that is as it should be.
pub(crate) const GREEN: &str = "//*[@data-state='good'][.//*[contains(., 'As it should be')]]";

const SCREENS: [&str; 7] = [
    "Set-up",
    "Machines",
    "Models",
    "Serve",
    "Benchmarks",
    "Settings",
    "Chat",
];

/// From the first start through a rehearsal into a chat; every screen says that it is one.
pub(crate) async fn whole(desk: &mut Desk) {
    let mut hands = Hands::open(desk).await;
    hands.click(&button("Rehearse first")).await;
    hands.click(&button("Start")).await;
    hands.see_within(&heading("Done."), RUN).await;
    for name in SCREENS {
        hands.click(&screen(name)).await;
        hands
            .see(&format!("{}[@aria-current='page']", screen(name)))
            .await;
        hands
            .see("//header[@aria-label='The pair']//strong[.='Rehearsal']")
            .await;
        hands.desk.picture(&name.to_lowercase()).await;
    }
    hands
        .type_here("Message", "What do two machines do together?")
        .await;
    hands.keys(ENTER).await;
    let answer = hands.answer().await;
    assert!(answer.len() > 20, "it answers: {answer}");
    hands.desk.picture("answer").await;
    let figure = hands
        .run("return document.querySelector('header[aria-label=\"The pair\"] .says').textContent")
        .await;
    assert!(
        figure.as_str().is_some_and(|f| f.contains("with MTP")),
        "the strip says what is served: {figure}"
    );
    hands.ask("leave_rehearsal").await;
}

/// The link alone, then both machines restarted from the window and the link measured again.
pub(crate) async fn restarted(desk: &mut Desk) {
    let mut hands = Hands::open(desk).await;
    hands.click(&button("Rehearse first")).await;
    hands.click(&button("Link only")).await;
    hands
        .see_within(&heading("The link is addressed and measured."), RUN)
        .await;
    hands.see(GREEN).await;
    let first = hands.ask("pair").await["link"]["at"].clone();
    hands.click(&button("Restart both and measure again")).await;
    let stops = "//*[@role='dialog'][contains(., 'stops: a model server')]";
    hands.see(stops).await;
    hands.desk.picture("asked").await;
    hands.click(&button("Restart both")).await;
    hands
        .see_within(&heading("Both machines are back"), RUN)
        .await;
    hands.see(GREEN).await;
    hands.see(&step("restart", "Done")).await;
    let second = hands.ask("pair").await["link"]["at"].clone();
    assert!(
        second.as_i64() > first.as_i64(),
        "it was measured anew: {first}, {second}"
    );
    let runs = hands.ask("list_runs").await;
    let procedures: Vec<_> = [0, 1].map(|i| runs[i]["procedure"].clone()).into();
    assert_eq!(procedures, ["restart", "link"], "{runs}");
    hands.ask("leave_rehearsal").await;
}

/// The power goes in the middle of a step. The next start offers to go on or to take it back.
pub(crate) async fn killed(desk: &mut Desk) {
    let mut hands = Hands::open(desk).await;
    hands.click(&button("Rehearse first")).await;
    hands.click(&button("Start")).await;
    hands
        .see_within(&step("launch-plain", "Running"), RUN)
        .await;
    hands.desk.kill().await;

    hands.desk.open().await.expect("the window opens again");
    // At that step, or before it: a step is running on the screen before it writes that it changes something.
    hands.see(&heading("It was interrupted")).await;
    hands
        .see("//h1[contains(., 'step')][contains(., 'serve plain')]")
        .await;
    hands.see(&button("Undo")).await;
    hands.desk.picture("interrupted").await;
    hands.click(&screen("Machines")).await;
    let banner = "//aside[@aria-label='Interrupted run']";
    hands
        .see(&format!("{banner}{}", button("Review or undo")))
        .await;
    hands.desk.picture("banner").await;
    hands.click(&format!("{banner}{}", button("Resume"))).await;
    hands.see_within(&heading("Done."), RUN).await;
    for id in ["key", "weights", "launch-plain", "validate-mtp"] {
        hands.see(&step(id, "Done")).await;
    }

    hands.click(&screen("Serve")).await;
    hands.click(&button("All runs")).await;
    hands.click("//main//li/button").await;
    hands.click(&button("Undo")).await;
    hands.desk.picture("undo-asked").await;
    hands.click(&button("Undo all")).await;
    hands
        .see_within(&heading("Everything is as it was before."), RUN)
        .await;
    hands.desk.picture("undone").await;
    let runs = hands.ask("list_runs").await;
    assert_eq!(runs[0]["outcome"], "undone", "{runs}");
    let overview = hands.ask("overview").await;
    assert_eq!(
        overview["serving"],
        serde_json::Value::Null,
        "nothing is served any more"
    );
    hands.ask("leave_rehearsal").await;
}
