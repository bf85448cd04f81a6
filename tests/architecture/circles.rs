//! No modules of a package use each other in a circle.
//!
//! A module is a file. It uses another when a path in it, in a `use` or inline, leads there. What a file gives out
//! again (`pub use child::Thing`) counts for the file that holds the thing, so a folder's `mod.rs` that only lists its
//! children uses none of them. `mod child;` is no use either.
//!
//! A folder's `mod.rs` and the files below it may use each other: they are one module in several files, and a reader
//! begins at `mod.rs`. Everything else in a circle is told: siblings, folders, a file with another folder's.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;

use crate::exceptions::exceptions;
use crate::sources::{Crate, Source, crates, declared};

type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

#[test]
fn no_modules_use_each_other_in_a_circle() {
    let known = exceptions().circles;
    assert!(
        known.iter().all(|c| !c.reason.is_empty()),
        "a circle is excepted with a reason"
    );
    let mut known: BTreeMap<BTreeSet<String>, bool> = known
        .into_iter()
        .map(|c| (c.files.into_iter().collect(), false))
        .collect();
    let mut faults = Vec::new();
    for one in crates() {
        let graph = graph(&one);
        for circle in circles(&graph, &graph.keys().cloned().collect()) {
            let files: BTreeSet<String> =
                circle.iter().map(|m| one.files[m].path.clone()).collect();
            if let Some((_, seen)) = known.iter_mut().find(|(k, _)| files.is_subset(k)) {
                *seen = true;
                continue;
            }
            let uses = |from: &Module| {
                let to: Vec<&str> = graph[from]
                    .intersection(&circle)
                    .map(|to| one.files[to].path.as_str())
                    .collect();
                format!("  {} uses {}", one.files[from].path, to.join(", "))
            };
            let uses: Vec<String> = circle.iter().map(uses).collect();
            faults.push(format!(
                "{}, a circle of {}:\n{}",
                one.package,
                circle.len(),
                uses.join("\n")
            ));
        }
    }
    faults.extend(known.iter().filter(|(_, seen)| !**seen).map(|(files, _)| {
        format!("no circle any more, delete it from exceptions.toml: {files:?}")
    }));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The circles among these modules, without those of a `mod.rs` and its own files.
fn circles(graph: &Graph, among: &BTreeSet<Module>) -> Vec<BTreeSet<Module>> {
    let mut all = Vec::new();
    for group in strongly_connected(graph, among) {
        if group.len() < 2 {
            continue;
        }
        let top = group
            .iter()
            .find(|top| group.iter().all(|m| m.starts_with(top)))
            .cloned();
        match top {
            // What its own files take from it ties nothing; whatever circle is left without it is one.
            Some(top) => {
                let mut below = group;
                below.remove(&top);
                all.extend(circles(graph, &below));
            }
            None => all.push(group),
        }
    }
    all
}

/// Tarjan's groups, by reachability: the packages are small.
fn strongly_connected(graph: &Graph, among: &BTreeSet<Module>) -> Vec<BTreeSet<Module>> {
    let reach = |from: &Module| {
        let mut seen = BTreeSet::new();
        let mut next = vec![from];
        while let Some(at) = next.pop() {
            for to in graph[at].iter().filter(|to| among.contains(*to)) {
                if seen.insert(to.clone()) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&Module, BTreeSet<Module>> =
        among.iter().map(|m| (m, reach(m))).collect();
    let mut left = among.clone();
    let mut groups = Vec::new();
    while let Some(first) = left.first().cloned() {
        let mut group: BTreeSet<Module> = reached[&first]
            .iter()
            .filter(|m| reached[*m].contains(&first))
            .cloned()
            .collect();
        group.insert(first);
        left.retain(|m| !group.contains(m));
        groups.push(group);
    }
    groups
}

fn graph(of: &Crate) -> Graph {
    let uses: Uses = of
        .files
        .iter()
        .map(|(module, source)| (module, uses(source)))
        .collect();
    let edges = |source: &Source| {
        let mut to = BTreeSet::new();
        for (path, public) in paths(source, &uses[&source.module]) {
            let target = resolve(&uses, &path, 0);
            let gives_out = public && target.starts_with(&source.module);
            if target != source.module && !gives_out {
                to.insert(target);
            }
        }
        to
    };
    of.files
        .iter()
        .map(|(module, source)| (module.clone(), edges(source)))
        .collect()
}

/// The file that a path from the crate's root leads to.
fn resolve(of: &Uses, path: &[String], depth: usize) -> Module {
    let mut at = Vec::new();
    let mut rest = path.iter();
    let name = loop {
        let Some(next) = rest.next() else { return at };
        at.push(next.clone());
        if !of.contains_key(&at) {
            at.pop();
            break next;
        }
    };
    // What a module gives out again stands elsewhere.
    let given = of[&at].iter().find(|u| u.name.as_ref() == Some(name));
    match given {
        Some(given) if depth < 8 => resolve(of, &given.path, depth + 1),
        _ => at,
    }
}

/// What each file's `use`s bring.
type Uses<'a> = BTreeMap<&'a Module, Vec<Use>>;

/// One name that a `use` brings.
#[derive(Clone)]
struct Use {
    /// From the crate's root.
    path: Vec<String>,
    /// The name here; nothing for `*` and `_`.
    name: Option<String>,
    public: bool,
}

/// The `use`s of a file that lead into its own crate.
fn uses(source: &Source) -> Vec<Use> {
    let mut all = Vec::new();
    for item in &source.items.items {
        if let syn::Item::Use(item) = item {
            let public = !matches!(item.vis, syn::Visibility::Inherited);
            flatten(&item.tree, Vec::new(), &mut |path, name| {
                if let Some(path) = absolute(source, &path) {
                    all.push(Use { path, name, public });
                }
            });
        }
    }
    all
}

fn flatten(
    tree: &syn::UseTree,
    mut before: Vec<String>,
    each: &mut dyn FnMut(Vec<String>, Option<String>),
) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(&path.tree, before, each);
        }
        syn::UseTree::Group(group) => {
            group
                .items
                .iter()
                .for_each(|t| flatten(t, before.clone(), each));
        }
        syn::UseTree::Name(name) => {
            if name.ident != "self" {
                before.push(name.ident.to_string());
            }
            let name = before.last().cloned();
            each(before, name);
        }
        syn::UseTree::Rename(rename) => {
            before.push(rename.ident.to_string());
            each(before, Some(rename.rename.to_string()));
        }
        syn::UseTree::Glob(_) => each(before, None),
    }
}

/// A path from the crate's root; nothing where it leads to another crate.
fn absolute(source: &Source, path: &[String]) -> Option<Vec<String>> {
    let children: Vec<String> = source
        .items
        .items
        .iter()
        .filter_map(declared)
        .map(|m| m.ident.to_string())
        .collect();
    let mut base = source.module.clone();
    let mut rest = path;
    match rest.first()?.as_str() {
        "crate" => {
            base.clear();
            rest = &rest[1..];
        }
        "self" => rest = &rest[1..],
        "super" => {
            while let Some((first, more)) = rest.split_first() {
                if first != "super" {
                    break;
                }
                base.pop();
                rest = more;
            }
        }
        child if children.iter().any(|c| c == child) => {}
        _ => return None,
    }
    base.extend(rest.iter().cloned());
    Some(base)
}

/// All paths of a file that lead into its own crate, and whether it gives out what they lead to.
fn paths(source: &Source, uses: &[Use]) -> Vec<(Vec<String>, bool)> {
    let mut all: Vec<(Vec<String>, bool)> =
        uses.iter().map(|u| (u.path.clone(), u.public)).collect();
    for item in &source.items.items {
        match item {
            syn::Item::Use(_) => {}
            // Inside a module that stands in the file itself, `super` is the file.
            syn::Item::Mod(module) => {
                let mut inner = Vec::new();
                inline(module.to_token_stream(), &mut inner);
                for mut path in inner {
                    if path[0] == "super" {
                        path[0] = "self".into();
                    }
                    all.extend(absolute(source, &path).map(|p| (p, false)));
                }
            }
            other => {
                let mut inner = Vec::new();
                inline(other.to_token_stream(), &mut inner);
                all.extend(
                    inner
                        .iter()
                        .filter_map(|p| absolute(source, p))
                        .map(|p| (p, false)),
                );
            }
        }
    }
    all
}

/// Every `a::b::c` among the tokens, macros' too.
fn inline(tokens: TokenStream, all: &mut Vec<Vec<String>>) {
    let mut path: Vec<String> = Vec::new();
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => {
                if colons != 2 {
                    finish(&mut path, all);
                }
                path.push(ident.to_string());
                colons = 0;
            }
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Group(group) => {
                finish(&mut path, all);
                colons = 0;
                inline(group.stream(), all);
            }
            _ => {
                finish(&mut path, all);
                colons = 0;
            }
        }
    }
    finish(&mut path, all);
}

fn finish(path: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
    if path.len() > 1 {
        all.push(std::mem::take(path));
    }
    path.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph_of(edges: &[(&str, &str)]) -> Graph {
        let module = |text: &str| text.split("::").map(str::to_owned).collect::<Module>();
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry(module(to)).or_default();
            graph.entry(module(from)).or_default().insert(module(to));
        }
        graph
    }

    fn found(edges: &[(&str, &str)]) -> usize {
        let graph = graph_of(edges);
        circles(&graph, &graph.keys().cloned().collect()).len()
    }

    #[test]
    fn a_folder_and_its_own_files_are_no_circle_and_all_else_is() {
        assert_eq!(found(&[("a", "b"), ("b", "c")]), 0);
        assert_eq!(found(&[("a", "b"), ("b", "a")]), 1);
        assert_eq!(
            found(&[("a", "a::x"), ("a::x", "a")]),
            0,
            "a folder with its own file"
        );
        assert_eq!(
            found(&[
                ("a", "a::x"),
                ("a::x", "a"),
                ("a::x", "a::y"),
                ("a::y", "a::x")
            ]),
            1,
            "two siblings"
        );
        assert_eq!(
            found(&[("a", "b"), ("b", "a::x"), ("a::x", "a")]),
            1,
            "over another folder"
        );
    }
}
