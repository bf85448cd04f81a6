//! A recording without what differs from computer to computer: the same is written on every one.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

/// Where the app keeps its files in every recording.
const DATA: &str = "/home/you/.local/share/dev.tandem.app";

/// The processor of a Spark.
const ARCH: &str = "aarch64";

/// The size of the rehearsed image: that of a file that was built here.
const IMAGE: u64 = 36_000_000;

/// The first moment of every recording: the window's tests move it to where they stand.
pub(crate) const EPOCH: i64 = 1_790_000_000_000;

/// Names of a moment. In a recording they keep their order and are a second apart.
const MOMENTS: &[&str] = &[
    "at",
    "added_at",
    "started_at",
    "finished_at",
    "updated_at",
    "used_at",
];

/// Takes out the folder, the processor, the stand-in server's size, a token of one's own, ports drawn by lot, and times.
pub(crate) fn normal(value: &Value, folder: &Path, standin: u64) -> Value {
    let mut text = value.to_string();
    // A system may know the folder by another name too, as `/private/tmp`.
    let real = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    for known in [&*real, folder] {
        text = text.replace(&*known.to_string_lossy(), DATA);
    }
    text = text.replace(std::env::consts::ARCH, ARCH);
    text = text.replace(&standin.to_string(), &IMAGE.to_string());
    let mut parts = text.split("127.0.0.1:");
    let mut ported = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        // Where no number follows, all ports are meant.
        let port = if rest.len() < part.len() { "40000" } else { "" };
        ported.push_str(&format!("127.0.0.1:{port}{rest}"));
    }
    let mut value: Value = serde_json::from_str(&ported).expect("it was JSON");
    forget_token(&mut value);
    let mut all = BTreeSet::new();
    moments(&mut value, &mut |at| {
        all.insert(*at);
    });
    let after = |at: &i64| all.iter().take_while(|one| *one < at).count() as i64;
    moments(&mut value, &mut |at| *at = EPOCH + after(at) * 1000);
    value
}

/// Whoever records may have given Tandem a token of their own.
fn forget_token(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(held) = map.get_mut("hub_token") {
                *held = Value::from(false);
            }
            map.values_mut().for_each(forget_token);
        }
        Value::Array(list) => list.iter_mut().for_each(forget_token),
        _ => {}
    }
}

/// Calls `each` with every moment.
fn moments(value: &mut Value, each: &mut impl FnMut(&mut i64)) {
    match value {
        Value::Object(map) => {
            for (name, value) in map.iter_mut() {
                match value.as_i64().filter(|_| MOMENTS.contains(&name.as_str())) {
                    Some(mut at) => {
                        each(&mut at);
                        *value = Value::from(at);
                    }
                    None => moments(value, each),
                }
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| moments(v, each)),
        _ => {}
    }
}

#[test]
fn two_computers_write_the_same() {
    let of = |folder: &str, standin: u64, port: u16| {
        let value = serde_json::json!({
            "folder": format!("{folder}/rehearsal"), "arch": std::env::consts::ARCH, "size": standin,
            "endpoint": format!("http://127.0.0.1:{port}/api"), "at": i64::from(port),
        });
        normal(&value, Path::new(folder), standin)
    };
    let one = of("/tmp/.tmpAb12", 35_517_624, 40_123);
    assert_eq!(one, of("/var/folders/x", 9_876_543, 5_000));
    assert_eq!(one["arch"], ARCH);
    assert_eq!(one["folder"], format!("{DATA}/rehearsal"));
    assert_eq!(one["at"], EPOCH);
}
