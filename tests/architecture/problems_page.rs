//! Every failure that Tandem can tell, on one page: `docs/PROBLEMS.md`, read from the sources, so that none is missing.
//!
//! `UPDATE_EXPECT=1 cargo test -p tandem-tests --test architecture` writes the page again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use expect_test::expect_file;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens as _;
use syn::parse::Parser as _;
use syn::visit::{self, Visit};

use crate::sources::shipped;

/// A known cause in a log, by its sentence: what to do and where its texts come from.
type Causes = BTreeMap<String, (String, String)>;

/// One place that makes a `Problem`, with its words as they are written.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    code: String,
    message: String,
    cause: Vec<String>,
    fix: Vec<String>,
    command: Vec<String>,
}

#[test]
fn every_failure_stands_on_the_page() {
    let mut told: BTreeMap<String, Vec<Told>> = BTreeMap::new();
    let mut causes = Causes::new();
    let mut used: BTreeSet<String> = BTreeSet::new();
    let mut codes: Vec<String> = Vec::new();
    let mut commands: BTreeMap<String, String> = BTreeMap::new();
    for one in shipped() {
        for source in one.files.values() {
            let mut look = Look::default();
            look.visit_file(&source.items);
            let made = count(source.items.to_token_stream(), &["Problem", "new"]);
            assert_eq!(
                look.told.len(),
                made,
                "{}: a failure that the page would miss",
                source.path
            );
            causes.extend(look.causes);
            told.entry(one.package.clone())
                .or_default()
                .extend(look.told);
            if source.path.ends_with("domain/src/problem.rs") {
                codes = variants(&source.items);
            } else {
                if source.path.ends_with("domain/src/node/told.rs") {
                    commands = constants(&source.items);
                }
                mentioned(source.items.to_token_stream(), &mut used);
            }
        }
    }
    assert!(codes.len() > 20, "the codes were found");
    let idle: Vec<&String> = codes.iter().filter(|c| !used.contains(*c)).collect();
    assert!(causes.len() > 15, "the tables of causes were found");
    assert!(idle.is_empty(), "no failure has the code {idle:?}");
    assert!(commands.len() > 3, "the commands of the node were found");
    for command in told.values_mut().flatten().flat_map(|t| &mut t.command) {
        if let Some(text) = commands.get(command.as_str()) {
            command.clone_from(text);
        }
    }
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROBLEMS.md")]
        .assert_eq(&page(told, &causes));
}

/// The texts of a file that have a name, by that name as [`words`] writes it.
fn constants(file: &syn::File) -> BTreeMap<String, String> {
    let text = |item: &syn::Item| match item {
        syn::Item::Const(one) => match &*one.expr {
            value @ syn::Expr::Lit(syn::ExprLit {
                lit: syn::Lit::Str(_),
                ..
            }) => Some((format!("{{{}}}", one.ident), words(value))),
            _ => None,
        },
        _ => None,
    };
    file.items.iter().filter_map(text).collect()
}

fn variants(file: &syn::File) -> Vec<String> {
    let code = file.items.iter().find_map(|i| match i {
        syn::Item::Enum(i) if i.ident == "Code" => Some(i),
        _ => None,
    });
    code.expect("the enum of codes")
        .variants
        .iter()
        .map(|v| v.ident.to_string())
        .collect()
}

fn page(told: BTreeMap<String, Vec<Told>>, causes: &Causes) -> String {
    let mut page = String::from(
        "# What Tandem says when something fails\n\n\
         Every failure of the sources, by package and code: what did not happen, why, and what to do. `{…}` is filled in\n\
         when it happens. A test writes this page and fails where it is not the sources' any more.\n",
    );
    for (package, mut all) in told {
        all.sort();
        all.dedup();
        if all.is_empty() {
            continue;
        }
        write!(page, "\n## {package}\n").expect("a string");
        let mut code = String::new();
        for one in all {
            if one.code != code {
                write!(page, "\n### {}\n\n", one.code).expect("a string");
                code.clone_from(&one.code);
            }
            writeln!(page, "- **{}**", one.message).expect("a string");
            for cause in &one.cause {
                writeln!(page, "  - why: {cause}").expect("a string");
            }
            for fix in &one.fix {
                writeln!(page, "  - do: {fix}").expect("a string");
            }
            for command in &one.command {
                writeln!(page, "  - command: `{command}`").expect("a string");
            }
        }
    }
    page.push_str(
        "\n## Causes that a log shows\n\nWhere an engine ends, its log is searched for these.\n\n",
    );
    for (cause, (fix, source)) in causes {
        write!(page, "- {cause}\n  - do: {fix}\n  - source: {source}\n").expect("a string");
    }
    page
}

#[derive(Default)]
struct Look {
    told: Vec<Told>,
    causes: Causes,
    /// Methods that were called on what is visited now, outermost last.
    chain: Vec<syn::ExprMethodCall>,
}

impl<'ast> Visit<'ast> for Look {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        self.chain.push(call.clone());
        self.visit_expr(&call.receiver);
        self.chain.pop();
        let chain = std::mem::take(&mut self.chain);
        call.args.iter().for_each(|a| self.visit_expr(a));
        self.chain = chain;
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        let path = call.func.to_token_stream().to_string().replace(' ', "");
        if path.ends_with("Problem::new") {
            let mut args = call.args.iter();
            let mut one = Told {
                code: args.next().map(code).unwrap_or_default(),
                message: args.next().map(words).unwrap_or_default(),
                ..Told::default()
            };
            for method in self.chain.iter().rev() {
                let mut args = method.args.iter().map(words);
                match method.method.to_string().as_str() {
                    "cause" => one.cause.extend(args.next()),
                    "fix" => one.fix.extend(args.next()),
                    "fix_with" => {
                        one.fix.extend(args.next());
                        one.command.extend(args.next());
                    }
                    _ => {}
                }
            }
            self.told.push(one);
        }
        let chain = std::mem::take(&mut self.chain);
        visit::visit_expr_call(self, call);
        self.chain = chain;
    }

    fn visit_expr_struct(&mut self, made: &'ast syn::ExprStruct) {
        if made.path.is_ident("Cause") {
            let field = |name: &str| {
                let mut fields = made.fields.iter();
                let found = fields.find(|f| f.member.to_token_stream().to_string() == name);
                found.map(|f| words(&f.expr)).unwrap_or_default()
            };
            self.causes
                .insert(field("cause"), (field("fix"), field("source")));
        }
        visit::visit_expr_struct(self, made);
    }

    /// A macro's tokens are no expressions yet: what is inside stands on the page too.
    fn visit_macro(&mut self, found: &'ast syn::Macro) {
        self.read_tokens(found.tokens.clone());
    }

    fn visit_expr(&mut self, value: &'ast syn::Expr) {
        // A chain of methods holds only for its own receiver.
        let receiver = matches!(
            value,
            syn::Expr::MethodCall(_) | syn::Expr::Call(_) | syn::Expr::Paren(_)
        );
        if receiver {
            visit::visit_expr(self, value);
        } else {
            let chain = std::mem::take(&mut self.chain);
            visit::visit_expr(self, value);
            self.chain = chain;
        }
    }
}

impl Look {
    fn read_tokens(&mut self, tokens: TokenStream) {
        let all: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < all.len() {
            let first = |input: syn::parse::ParseStream| {
                let value: syn::Expr = input.parse()?;
                let rest: TokenStream = input.parse()?;
                Ok((value, rest.into_iter().count()))
            };
            match &all[at] {
                TokenTree::Ident(name) if name == "Problem" => {
                    let rest: TokenStream = all[at..].iter().cloned().collect();
                    if let Ok((value, left)) = first.parse2(rest) {
                        let mut inner = Look::default();
                        inner.visit_expr(&value);
                        self.told.extend(inner.told);
                        at = all.len() - left;
                        continue;
                    }
                }
                TokenTree::Group(group) => self.read_tokens(group.stream()),
                _ => {}
            }
            at += 1;
        }
    }
}

fn code(value: &syn::Expr) -> String {
    let text = value.to_token_stream().to_string().replace(' ', "");
    text.rsplit_once("Code::")
        .map_or_else(|| format!("({text})"), |(_, name)| name.to_owned())
}

/// A sentence as it is written: the text of a literal or `format!`, or else the expression in braces.
fn words(value: &syn::Expr) -> String {
    match value {
        syn::Expr::Lit(syn::ExprLit {
            lit: syn::Lit::Str(text),
            ..
        }) => text.value(),
        syn::Expr::MethodCall(call) if call.args.is_empty() => match &*call.receiver {
            inner @ (syn::Expr::Lit(_) | syn::Expr::Macro(_)) => words(inner),
            _ => braced(value),
        },
        syn::Expr::Reference(inner) => words(&inner.expr),
        syn::Expr::Macro(found) if found.mac.path.is_ident("format") => {
            let list = syn::punctuated::Punctuated::<syn::Expr, syn::Token![,]>::parse_terminated;
            let Ok(args) = found.mac.parse_body_with(list) else {
                return braced(value);
            };
            let mut args = args.iter();
            let mut text = args.next().map(words).unwrap_or_default();
            for arg in args {
                text = text.replacen("{}", &braced(arg), 1);
            }
            text
        }
        _ => braced(value),
    }
}

fn braced(value: &syn::Expr) -> String {
    let text = value.to_token_stream().to_string();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text = [
        (" . ", "."),
        (" (", "("),
        ("( ", "("),
        (" )", ")"),
        (" :: ", "::"),
        ("& ", "&"),
        (" ,", ","),
        (" !", "!"),
        (" ?", "?"),
    ]
    .iter()
    .fold(text, |text, (from, to)| text.replace(from, to));
    format!("{{{text}}}")
}

/// How often these two names stand beside each other, joined by `::`.
fn count(tokens: TokenStream, names: &[&str; 2]) -> usize {
    let all: Vec<TokenTree> = tokens.into_iter().collect();
    let is = |token: &TokenTree, name: &str| matches!(token, TokenTree::Ident(i) if i == name);
    let here = all
        .windows(4)
        .filter(|w| is(&w[0], names[0]) && is(&w[3], names[1]))
        .count();
    let inner = all.into_iter().map(|token| match token {
        TokenTree::Group(group) => count(group.stream(), names),
        _ => 0,
    });
    here + inner.sum::<usize>()
}

/// Every `Code::Name`.
fn mentioned(tokens: TokenStream, all: &mut BTreeSet<String>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for window in tokens.windows(4) {
        if let (TokenTree::Ident(code), TokenTree::Ident(name)) = (&window[0], &window[3])
            && code == "Code"
        {
            all.insert(name.to_string());
        }
    }
    for token in tokens {
        if let TokenTree::Group(group) = token {
            mentioned(group.stream(), all);
        }
    }
}
