//! Which package may depend on which, read from cargo itself.

use std::collections::BTreeSet;

use crate::{ROOT, cargo_metadata};

/// Package, what of ours it may use, and what of others it must not.
const RULES: &[(&str, &[&str], &[&str])] = &[
    (
        "tandem-domain",
        &[],
        &[
            "tauri", "sqlx", "russh", "bollard", "hf-hub", "reqwest", "tokio", "hyper",
        ],
    ),
    ("tandem-adapters", &["tandem-domain"], &["tauri", "hf-hub"]),
    (
        "tandem-node",
        &["tandem-domain"],
        &["tauri", "sqlx", "russh", "bollard"],
    ),
    (
        "tandem-rehearsal",
        &["tandem-domain", "tandem-adapters"],
        &["tauri", "russh", "bollard"],
    ),
    (
        "tandem",
        &["tandem-domain", "tandem-adapters", "tandem-rehearsal"],
        &["sqlx", "russh", "bollard"],
    ),
    (
        "tandem-tests",
        &["tandem-domain", "tandem-adapters", "tandem-rehearsal"],
        &["tauri"],
    ),
];

#[test]
fn dependencies_point_one_way() {
    let metadata = cargo_metadata(&["--no-deps"]);
    let packages = metadata["packages"].as_array().expect("a list of packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|p| p["name"].as_str()).collect();
    let ruled: BTreeSet<&str> = RULES.iter().map(|(name, ..)| *name).collect();
    assert_eq!(
        names, ruled,
        "every package has a rule, and every rule a package"
    );
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let (_, ours, never) = RULES
            .iter()
            .find(|(n, ..)| *n == name)
            .expect("ruled above");
        for dependency in package["dependencies"].as_array().expect("a list") {
            // What only a package's tests use does not ship.
            if dependency["kind"] == "dev" {
                continue;
            }
            let on = dependency["name"].as_str().expect("a name");
            assert!(!never.contains(&on), "`{name}` must not depend on `{on}`");
            assert!(
                !names.contains(on) || ours.contains(&on),
                "`{name}` may use {ours:?} of ours, not `{on}`"
            );
        }
    }
}

#[test]
fn only_the_host_folder_speaks_with_tauri() {
    let src = &std::path::Path::new(ROOT).join("ui/src");
    let mut folders = vec![src.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("ui/src can be read") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(src).expect("below ui/src");
            if inside.starts_with("host") || inside == std::path::Path::new("bindings.ts") {
                continue;
            }
            let Ok(text) = std::fs::read_to_string(&path) else {
                continue;
            };
            seen += 1;
            assert!(
                !text.contains("@tauri-apps/"),
                "{} speaks with Tauri itself",
                inside.display()
            );
        }
    }
    assert!(seen > 10, "the window's sources were found");
}
