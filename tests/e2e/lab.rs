//! The journey everything is made for, on two fresh machines.

use std::io::Write as _;
use std::path::Path;

use tandem_rehearsal::hub::Hub;
use tandem_rehearsal::hub::faults::{Fault, FaultKind};
use tandem_tests::{PASSWORD, USER};

use crate::desk::Desk;
use crate::hands::{Hands, button, heading, screen, step};
use crate::pictures::{picture, picture_at, walk};
use crate::rehearsal::{GREEN, RUN};

/// From the first start to a measured link, measured once more, and everything taken back.
pub(crate) async fn link(desk: &mut Desk) {
    let mut hands = Hands::open(desk).await;
    hands.address_both().await;
    hands.type_and_tab("User", USER).await;
    hands.type_here("Password", PASSWORD).await;
    hands.click(&button("Read both host keys")).await;
    hands.click(&button("Accept and add both")).await;
    hands
        .see_within(&heading("Ready to serve on both machines"), RUN)
        .await;
    hands.click(&button("Link only")).await;
    let measured = heading("The link is addressed and measured.");
    hands.see_within(&measured, RUN).await;
    hands.see(GREEN).await;
    let counted = format!("link clicks {} passwords {}", hands.clicks, hands.passwords);
    // Past the harness, which swallows what is printed by the macros. Nobody reading is no failure.
    let _ = writeln!(std::io::stdout(), "{counted}");
    assert!(
        hands.clicks <= 6 && hands.passwords <= 1,
        "it takes no more than that"
    );
    picture(&hands, "verdict").await;

    hands.click(&screen("Machines")).await;
    hands
        .see("//main//section[@aria-labelledby='findings']")
        .await;
    picture(&hands, "health").await;
    picture_at(&hands, "cable", "cable").await;

    let first = hands.ask("pair").await["link"]["at"].clone();
    hands.click(&button("Measure again")).await;
    hands.see_within(&measured, RUN).await;
    hands.see(GREEN).await;
    let second = hands.ask("pair").await["link"]["at"].clone();
    assert!(
        second.as_i64() > first.as_i64(),
        "it was measured anew: {first}, {second}"
    );

    hands.click(&screen("Set-up")).await;
    hands.click(&button("All runs")).await;
    // The run that addressed the link is the older one.
    hands.click("//main//li[2]/button").await;
    hands.click(&button("Undo")).await;
    hands.click(&button("Undo all")).await;
    hands
        .see_within(&heading("Everything is as it was before."), RUN)
        .await;
}

/// From the first start to an answer about an image, then the first comparison.
pub(crate) async fn whole(desk: &mut Desk, hub: &Hub) {
    let mut hands = Hands::open(desk).await;
    hands.see("//input[@type='password']").await;
    picture(&hands, "first-start").await;
    hands.address_both().await;
    hands.type_and_tab("User", USER).await;
    hands.type_here("Password", PASSWORD).await;
    hands.click(&button("Read both host keys")).await;
    hands.see(&button("Accept and add both")).await;
    hands.desk.picture("host-keys").await;
    hands.click(&button("Accept and add both")).await;
    hands
        .see_within(&heading("Ready to serve on both machines"), RUN)
        .await;
    hands.see("//ol[@aria-label='Planned steps']/li").await;
    hands
        .see("//section[@aria-label='Weights and memory'][@aria-busy='false']")
        .await;
    picture(&hands, "plan").await;

    // Tiny weights come in no time; for the picture they come as slowly as large ones.
    hub.faults().add(
        Fault::new(FaultKind::Slow {
            bytes_per_second: 150_000,
        })
        .at(".safetensors"),
    );
    hands.click(&button("Start")).await;
    hands
        .see_within(
            &format!(
                "{}//*[@role='progressbar']\
                 [@aria-valuenow > 30]",
                step("weights", "Running")
            ),
            RUN,
        )
        .await;
    picture(&hands, "run").await;
    hub.faults().clear();
    hands.see_within(&heading("Done."), RUN).await;
    picture(&hands, "finished").await;

    hands.click(&button("Open chat")).await;
    let image = Path::new(env!("CARGO_MANIFEST_DIR")).join("../icons/128x128@2x.png");
    hands
        .attach(&image.canonicalize().expect("the icon is there"))
        .await;
    hands
        .see("//ul[@aria-label='Attached pictures']//img")
        .await;
    hands.type_here("Message", "What is in this picture?").await;
    hands.click(&button("Send")).await;
    let answer = hands.answer().await;
    assert!(
        answer.contains("256 × 256"),
        "the answer is about the image: {answer}"
    );
    // Past the harness, which swallows what is printed by the macros. Nobody reading is no failure.
    let counted = format!(
        "journey clicks {} passwords {}",
        hands.clicks, hands.passwords
    );
    let _ = writeln!(std::io::stdout(), "{counted}");
    assert!(
        hands.clicks <= 16 && hands.passwords <= 1,
        "it takes no more than that"
    );
    picture(&hands, "chat").await;

    hands.click(&screen("Benchmarks")).await;
    // Plain and with MTP, both measured by the set-up, stand side by side without a click.
    hands
        .see("//section[@aria-labelledby='comparison-heading']//dl")
        .await;
    picture(&hands, "benchmarks").await;
    walk(&mut hands).await;
}
