//! No name of a type stands twice in a package.

use std::collections::{BTreeMap, BTreeSet};

use crate::exceptions::exceptions;
use crate::sources::shipped;

#[test]
fn no_type_name_stands_twice_in_a_package() {
    let mut found: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for one in shipped() {
        for source in one.files.values() {
            let mut names = Vec::new();
            types(&source.items.items, &mut names);
            for (name, line) in names {
                let places = found
                    .entry(one.package.clone())
                    .or_default()
                    .entry(name)
                    .or_default();
                places.insert(format!("{}:{line}", source.path));
            }
        }
    }
    let known = exceptions().names;
    let mut faults = Vec::new();
    for (package, names) in &mut found {
        names.retain(|_, places| places.len() > 1);
        for (name, places) in names {
            let reason = known.get(package).and_then(|n| n.get(name));
            if reason.is_none_or(String::is_empty) {
                faults.push(format!("{package}: `{name}` stands in {places:?}"));
            }
        }
    }
    for (package, names) in &known {
        let found = found.get(package);
        for name in names
            .keys()
            .filter(|n| found.is_none_or(|f| !f.contains_key(*n)))
        {
            faults.push(format!(
                "{package}: `{name}` stands once now: delete it from exceptions.toml"
            ));
        }
    }
    assert!(
        faults.is_empty(),
        "{} faults:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

fn types(items: &[syn::Item], names: &mut Vec<(String, usize)>) {
    for item in items {
        let ident = match item {
            syn::Item::Struct(i) => &i.ident,
            syn::Item::Enum(i) => &i.ident,
            syn::Item::Trait(i) => &i.ident,
            syn::Item::Type(i) => &i.ident,
            syn::Item::Mod(i) => {
                if let Some((_, inner)) = &i.content {
                    types(inner, names);
                }
                continue;
            }
            _ => continue,
        };
        names.push((ident.to_string(), ident.span().start().line));
    }
}
