//! What the app says of the machines around: a rehearsal has none, so these are what a network announces.

use serde_json::{Value, json};
use tandem_domain::neighbours::{Configured, Sighting, neighbours as known};

/// Nobody; and two Sparks with a computer of `~/.ssh/config`. The first is seen on the cable too, and is one machine.
pub(crate) fn neighbours() -> Value {
    let address = |text: &&str| text.parse().expect("an address");
    let spark = |host: &str, addresses: &[&str]| Sighting {
        host: format!("{host}.local."),
        ssh: Some(22),
        addresses: addresses.iter().map(address).collect(),
    };
    let sparks = [
        spark("spark-1f0a", &["192.168.1.41", "192.168.100.10"]),
        spark("spark-2c4b", &["192.168.1.42"]),
    ];
    let nas = [Configured {
        alias: "nas".into(),
        address: "192.168.1.7".into(),
        port: 22,
        user: Some("admin".into()),
    }];
    let ours = |_| false;
    json!({
        "none": known(&[], &[], &[], &ours),
        "sparks": known(&sparks, &nas, &[], &ours),
    })
}
