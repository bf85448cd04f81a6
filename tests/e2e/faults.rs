//! What goes wrong while machines are added, and what the window says.

use serde_json::json;
use tandem_tests::{Lab, PASSWORD, Spark, USER};

use crate::desk::Desk;
use crate::hands::{Hands, button, card, heading, screen};

/// A wrong password, then the right one; then a machine whose host key is another.
pub(crate) async fn adding(desk: &mut Desk, lab: &Lab) {
    let mut hands = Hands::open(desk).await;
    hands.calm = false;
    hands.address_both().await;
    hands.type_and_tab("User", USER).await;
    hands.type_here("Password", "not-the-password").await;
    hands.click(&button("Read both host keys")).await;
    hands.click(&button("Accept and add both")).await;
    let said = hands.see(&card("wrong-password")).await;
    let said = said.text().await.expect("it is drawn");
    assert!(
        said.contains("What to do"),
        "the card says what to do: {said}"
    );
    hands.desk.picture("wrong-password").await;
    let overview = hands.ask("overview").await;
    assert_eq!(overview["machines"], json!([]), "nothing is kept");

    hands.replace("Password", PASSWORD).await;
    hands.click(&button("Read both host keys")).await;
    hands.click(&button("Accept and add both")).await;
    hands.see(&heading("Ready to serve on both machines")).await;

    lab.swap_host_key(Spark::B)
        .await
        .expect("the key is swapped");
    lab.drop_sessions(Spark::B)
        .await
        .expect("the connections are cut");
    hands.click(&screen("Machines")).await;
    let name = hands.ask("overview").await["machines"][1]["name"].clone();
    let name = name.as_str().expect("it has a name").to_owned();
    hands.click(&button(&format!("Refresh {name}"))).await;
    hands.see(&card("host-key-changed")).await;
    hands.desk.picture("host-key-changed").await;
}
