//! What Tandem is made of, held against `deny.toml` without a program that has to be installed first.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{ROOT, cargo_metadata};

fn rules() -> toml::Table {
    let text = std::fs::read_to_string(format!("{ROOT}/deny.toml")).expect("deny.toml is there");
    text.parse().expect("deny.toml is TOML")
}

fn words(value: &toml::Value) -> BTreeSet<String> {
    let list = value.as_array().expect("a list");
    let word = |v: &toml::Value| v.as_str().expect("a word").to_owned();
    list.iter().map(word).collect()
}

/// All packages that are built for this computer.
fn packages() -> Vec<Value> {
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let all = cargo_metadata(&["--locked", "--filter-platform", &platform]);
    let nodes = all["resolve"]["nodes"].as_array().expect("what is used");
    let used: BTreeSet<&str> = nodes.iter().filter_map(|n| n["id"].as_str()).collect();
    let packages = all["packages"].as_array().expect("a list of packages");
    let is_used = |p: &&Value| p["id"].as_str().is_some_and(|id| used.contains(id));
    packages.iter().filter(is_used).cloned().collect()
}

fn text<'a>(package: &'a Value, field: &str) -> &'a str {
    package[field].as_str().unwrap_or_default()
}

/// Whether an expression of licences can be met with these: `A OR B`, `A AND B`, brackets, and the older `A/B`.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression
        .replace('(', " ( ")
        .replace(')', " ) ")
        .replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    any_of(&mut rest, allowed) && rest.is_empty()
}

fn any_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(rest, allowed);
    while let ["OR", more @ ..] = rest {
        *rest = more;
        met |= all_of(rest, allowed);
    }
    met
}

fn all_of(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    let mut met = one(rest, allowed);
    while let ["AND", more @ ..] = rest {
        *rest = more;
        met &= one(rest, allowed);
    }
    met
}

fn one(rest: &mut &[&str], allowed: &BTreeSet<String>) -> bool {
    match rest {
        ["(", more @ ..] => {
            *rest = more;
            let met = any_of(rest, allowed);
            let [")", more @ ..] = rest else { return false };
            *rest = more;
            met
        }
        [name, "WITH", exception, more @ ..] => {
            let met = allowed.contains(&format!("{name} WITH {exception}"));
            *rest = more;
            met
        }
        [name, more @ ..] => {
            let met = allowed.contains(*name);
            *rest = more;
            met
        }
        [] => false,
    }
}

#[test]
fn expressions_of_licences_are_read_as_they_are_meant() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"];
    let allowed: BTreeSet<String> = allowed.map(str::to_owned).into();
    let good = |e: &str| is_allowed(e, &allowed);
    assert!(good("MIT") && good("GPL-3.0 OR MIT") && good("GPL-3.0/MIT") && good("MIT AND ISC"));
    assert!(good("(GPL-3.0 OR MIT) AND ISC") && good("Apache-2.0 WITH LLVM-exception"));
    assert!(!good("GPL-3.0") && !good("MIT AND GPL-3.0") && !good("(MIT OR ISC) AND GPL-3.0"));
    assert!(!good("Apache-2.0") && !good("") && !good("(MIT"));
}

#[test]
fn every_licence_is_an_allowed_one() {
    let rules = rules();
    let allowed = words(&rules["licenses"]["allow"]);
    let packages = packages();
    assert!(packages.len() > 100, "the dependencies were found");
    let wrong: Vec<String> = packages
        .iter()
        .filter(|p| !is_allowed(text(p, "license"), &allowed))
        .map(|p| format!("{}: {}", text(p, "name"), text(p, "license")))
        .collect();
    assert!(wrong.is_empty(), "not allowed: {wrong:?}");
    let expressions: String = packages.iter().map(|p| text(p, "license")).collect();
    let idle: Vec<&String> = allowed
        .iter()
        .filter(|l| !expressions.contains(*l))
        .collect();
    assert!(idle.is_empty(), "allowed, and nothing has it: {idle:?}");
}

#[test]
fn every_package_comes_from_an_allowed_place_and_none_is_banned() {
    let rules = rules();
    assert_eq!(rules["sources"]["unknown-registry"].as_str(), Some("deny"));
    assert_eq!(rules["sources"]["unknown-git"].as_str(), Some("deny"));
    let registries = words(&rules["sources"]["allow-registry"]);
    let banned = rules["bans"]["deny"].as_array().expect("a list");
    let banned: BTreeSet<&str> = banned.iter().filter_map(|b| b["name"].as_str()).collect();
    for package in packages() {
        let name = text(&package, "name");
        assert!(!banned.contains(name), "`{name}` is banned");
        // The workspace's own have no source.
        if let Some(source) = package["source"].as_str() {
            let registry = source.strip_prefix("registry+");
            let known = registry.is_some_and(|r| registries.contains(r));
            assert!(known, "`{name}` comes from {source}");
        }
    }
}

#[test]
fn the_licence_of_the_workspace_lies_beside_it() {
    let text = std::fs::read_to_string(format!("{ROOT}/LICENSE")).expect("LICENSE is there");
    assert!(text.contains("Apache License") && text.contains("Version 2.0, January 2004"));
    let ours = packages().into_iter().filter(|p| p["source"].is_null());
    for package in ours {
        assert_eq!(self::text(&package, "license"), "Apache-2.0");
    }
}
