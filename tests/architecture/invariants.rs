//! Promises whose tests are named: that the tests are there.

use std::collections::BTreeSet;
use std::path::Path;

use crate::ROOT;

/// Pages with a table of promises; the last column names what keeps each.
const PAGES: [&str; 2] = ["ARCHITECTURE.md", "docs/TRUST.md"];

#[test]
fn every_test_behind_a_promise_exists() {
    let root = Path::new(ROOT);
    let mut functions = BTreeSet::new();
    for folder in ["src-tauri", "tests"] {
        collect(&root.join(folder), &mut functions);
    }
    let mut missing = Vec::new();
    let mut seen = 0;
    for page in PAGES {
        let text = std::fs::read_to_string(root.join(page)).expect("the page is there");
        for line in text.lines().filter(|l| l.starts_with("| ")) {
            let last = line.trim_end_matches(['|', ' ']).rsplit(" | ").next();
            let names = last.unwrap_or_default().split('`').skip(1).step_by(2);
            // A sentence has many words; a field or a word of a command has few.
            for name in names.filter(|n| n.matches('_').count() >= 3 && is_name(n)) {
                seen += 1;
                if !functions.contains(name) {
                    missing.push(format!("{page}: {name}"));
                }
            }
        }
    }
    assert!(seen > 40, "the tables are read: {seen}");
    assert!(missing.is_empty(), "no test has these names: {missing:#?}");
}

fn is_name(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// The names of all functions below a folder.
fn collect(folder: &Path, functions: &mut BTreeSet<String>) {
    let entries = std::fs::read_dir(folder).expect("a folder of ours");
    for path in entries.flatten().map(|e| e.path()) {
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("gen") {
                collect(&path, functions);
            }
            continue;
        }
        if path.extension().is_none_or(|e| e != "rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("a source");
        for part in text.split("fn ").skip(1) {
            let name: String = part
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            functions.insert(name);
        }
    }
}
