//! The Rust sources of every package, as trees of modules without their tests.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit_mut::{self, VisitMut};

use crate::{ROOT, cargo_metadata};

/// One source file.
pub(crate) struct Source {
    /// Below the workspace, for example `src-tauri/domain/src/run/mod.rs`.
    pub(crate) path: String,
    /// From the root of its crate: empty for `lib.rs`, `["run", "drive"]` for `run/drive.rs`.
    pub(crate) module: Vec<String>,
    /// Its items, without those that only tests see.
    pub(crate) items: syn::File,
    /// Its lines with their numbers, without those of tests.
    pub(crate) lines: Vec<(usize, String)>,
}

/// The files of one library or program.
pub(crate) struct Crate {
    pub(crate) package: String,
    /// By module.
    pub(crate) files: BTreeMap<Vec<String>, Source>,
}

/// Every library and program of the workspace; targets that only test are left out.
pub(crate) fn crates() -> Vec<Crate> {
    let metadata = cargo_metadata(&["--no-deps"]);
    let root = Path::new(ROOT)
        .canonicalize()
        .expect("the workspace is there");
    let mut all = Vec::new();
    for package in metadata["packages"].as_array().expect("a list of packages") {
        for target in package["targets"].as_array().expect("a list of targets") {
            let kinds = target["kind"].as_array().expect("kinds");
            if !kinds
                .iter()
                .any(|k| matches!(k.as_str(), Some("lib" | "bin" | "cdylib" | "staticlib")))
            {
                continue;
            }
            let main = PathBuf::from(target["src_path"].as_str().expect("a path"));
            let mut files = BTreeMap::new();
            read(&root, &main, Vec::new(), &mut files);
            all.push(Crate {
                package: package["name"].as_str().expect("a name").to_owned(),
                files,
            });
        }
    }
    assert!(all.len() > 5, "the packages were found");
    all
}

/// The crates of what ships: all packages but the tests'.
pub(crate) fn shipped() -> Vec<Crate> {
    let mut all = crates();
    all.retain(|c| c.package != "tandem-tests");
    all
}

fn read(root: &Path, file: &Path, module: Vec<String>, files: &mut BTreeMap<Vec<String>, Source>) {
    let text = std::fs::read_to_string(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut items = syn::parse_file(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    let mut tests = Tests::default();
    tests.visit_file_mut(&mut items);
    let numbered = (1..).zip(text.lines());
    let lines = numbered
        .filter(|(n, _)| !tests.lines.contains(n))
        .map(|(n, l)| (n, l.to_owned()))
        .collect();
    let name = file
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    let folder = file.parent().expect("a folder");
    let folder = match name {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ if module.is_empty() => folder.to_owned(),
        _ => folder.join(name.trim_end_matches(".rs")),
    };
    for child in items.items.iter().filter_map(declared) {
        let own = |attr: &syn::Attribute| {
            let syn::Meta::NameValue(meta) = &attr.meta else {
                return None;
            };
            let syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(at),
                ..
            }) = &meta.value
            else {
                return None;
            };
            // Relative to the folder of the file, not to that of its modules.
            attr.path()
                .is_ident("path")
                .then(|| file.parent().expect("a folder").join(at.value()))
        };
        let name = child.ident.to_string();
        let beside = folder.join(format!("{name}.rs"));
        let path = child
            .attrs
            .iter()
            .find_map(own)
            .unwrap_or(if beside.exists() {
                beside
            } else {
                folder.join(&name).join("mod.rs")
            });
        let mut module = module.clone();
        module.push(name);
        read(root, &path, module, files);
    }
    let path = file.canonicalize().expect("it was read");
    let path = path
        .strip_prefix(root)
        .expect("below the workspace")
        .to_string_lossy()
        .into_owned();
    files.insert(
        module.clone(),
        Source {
            path,
            module,
            items,
            lines,
        },
    );
}

/// A `mod x;`, whose items stand in a file of its own.
pub(crate) fn declared(item: &syn::Item) -> Option<&syn::ItemMod> {
    match item {
        syn::Item::Mod(module) if module.content.is_none() => Some(module),
        _ => None,
    }
}

/// Takes out what only tests see, and notes its lines.
#[derive(Default)]
struct Tests {
    lines: BTreeSet<usize>,
}

impl Tests {
    fn is_test(&mut self, attrs: &[syn::Attribute], span: Span) -> bool {
        let test = attrs.iter().any(|a| match &a.meta {
            syn::Meta::List(list) if list.path.is_ident("cfg") => {
                let condition = list.tokens.to_string();
                condition == "test"
                    || condition.starts_with("any (test")
                    || condition.starts_with("all (test")
            }
            meta => meta
                .path()
                .segments
                .last()
                .is_some_and(|s| s.ident == "test"),
        });
        if test {
            self.lines.extend(span.start().line..=span.end().line);
        }
        test
    }
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(i) => &i.attrs,
        syn::Item::Enum(i) => &i.attrs,
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Macro(i) => &i.attrs,
        syn::Item::Mod(i) => &i.attrs,
        syn::Item::Static(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Trait(i) => &i.attrs,
        syn::Item::Type(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

impl VisitMut for Tests {
    fn visit_file_mut(&mut self, file: &mut syn::File) {
        file.items
            .retain(|i| !self.is_test(attributes(i), i.span()));
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut syn::ItemMod) {
        if let Some((_, items)) = &mut module.content {
            items.retain(|i| !self.is_test(attributes(i), i.span()));
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_item_impl_mut(&mut self, block: &mut syn::ItemImpl) {
        block.items.retain(|i| match i {
            syn::ImplItem::Fn(f) => !self.is_test(&f.attrs, f.span()),
            _ => true,
        });
        visit_mut::visit_item_impl_mut(self, block);
    }
}
