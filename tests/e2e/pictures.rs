//! The pictures of the README, taken on the journey where `TANDEM_PICTURES` names a folder for them.

use std::path::PathBuf;

use crate::hands::{Hands, screen};

/// A picture for the tests' artefacts at each stop of a journey, and for the README if they are asked for.
pub(crate) async fn picture(hands: &Hands<'_>, name: &str) {
    hands.desk.picture(name).await;
    readme(hands, name, None).await;
}

/// The same with this part of the page at the top of the window, found by its identity.
pub(crate) async fn picture_at(hands: &Hands<'_>, name: &str, part: &str) {
    scroll(hands, part).await;
    hands.desk.picture(name).await;
    readme(hands, name, Some(part)).await;
}

async fn scroll(hands: &Hands<'_>, part: &str) {
    let script = format!("document.getElementById('{part}').scrollIntoView({{block: 'start'}})");
    hands.run(&script).await;
}

/// The screen that the journey does not need.
pub(crate) async fn walk(hands: &mut Hands<'_>) {
    if folder().is_none() {
        return;
    }
    hands.click(&screen("Machines")).await;
    hands
        .see("//main//section[starts-with(@aria-labelledby, 'machine-')]")
        .await;
    readme(hands, "machines", None).await;
}

fn folder() -> Option<PathBuf> {
    std::env::var_os("TANDEM_PICTURES").map(Into::into)
}

async fn readme(hands: &Hands<'_>, name: &str, part: Option<&str>) {
    let Some(folder) = folder() else {
        return;
    };
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    for (width, height) in [(1024, 700), (1280, 800)] {
        hands.desk.resize(width, height).await;
        if let Some(part) = part {
            scroll(hands, part).await;
        }
        for theme in ["dark", "light"] {
            let look = format!("document.documentElement.dataset.theme = '{theme}'");
            hands.run(&look).await;
            let png = hands.desk.settled_screenshot().await;
            let file = folder.join(format!("{name}-{theme}-{width}.png"));
            std::fs::write(file, png).expect("a file can be written");
        }
    }
}
