//! Nothing branches on a sentence, and nobody reads a receipt by a string.

use std::collections::BTreeMap;

use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use crate::exceptions::{exceptions, hold};
use crate::sources::shipped;

/// The words of a `Problem`.
const WORDS: &[&str] = &["message", "cause", "sentence", "fix"];
const QUESTIONS: &[&str] = &[
    "contains",
    "starts_with",
    "ends_with",
    "eq",
    "find",
    "strip_prefix",
    "strip_suffix",
];

#[test]
fn nothing_branches_on_a_sentence() {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in shipped().iter().flat_map(|c| c.files.values()) {
        let mut look = Look::default();
        look.visit_file(&source.items);
        if !look.places.is_empty() {
            found.insert(source.path.clone(), look.places);
        }
    }
    hold("prose", &found, &exceptions().prose);
}

#[derive(Default)]
struct Look {
    places: Vec<String>,
}

impl Look {
    fn note(&mut self, what: &str, at: proc_macro2::Span) {
        self.places.push(format!("{}: {what}", at.start().line));
    }
}

/// Whether the value is a `Problem`'s words: `problem.cause`, `problem.cause.as_deref()`, `problem.message`.
fn are_words(value: &syn::Expr) -> bool {
    match value {
        syn::Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => WORDS.iter().any(|w| name == w),
            syn::Member::Unnamed(_) => false,
        },
        syn::Expr::MethodCall(call) => are_words(&call.receiver),
        syn::Expr::Reference(inner) => are_words(&inner.expr),
        syn::Expr::Paren(inner) => are_words(&inner.expr),
        _ => false,
    }
}

/// Whether a literal is a sentence for people: several words and a full stop.
fn is_sentence(lit: &syn::Lit) -> bool {
    match lit {
        syn::Lit::Str(text) => text.value().ends_with('.') && text.value().trim().contains(' '),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Look {
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let string =
            |e: &syn::Expr| matches!(e, syn::Expr::Lit(l) if matches!(l.lit, syn::Lit::Str(_)));
        if call.method == "receipt" && call.args.iter().any(string) {
            self.note("a receipt is read by a string", call.span());
        }
        if QUESTIONS.iter().any(|q| call.method == q) && are_words(&call.receiver) {
            self.note("asks what a sentence holds", call.span());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let compares = matches!(binary.op, syn::BinOp::Eq(_) | syn::BinOp::Ne(_));
        let sentence = |e: &syn::Expr| matches!(e, syn::Expr::Lit(l) if is_sentence(&l.lit));
        let words = |e: &syn::Expr| are_words(e);
        if compares
            && (sentence(&binary.left)
                || sentence(&binary.right)
                || words(&binary.left)
                || words(&binary.right))
        {
            self.note("compares a sentence", binary.span());
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_pat(&mut self, pattern: &'ast syn::Pat) {
        if matches!(pattern, syn::Pat::Lit(l) if is_sentence(&l.lit)) {
            self.note("matches a sentence", pattern.span());
        }
        visit::visit_pat(self, pattern);
    }
}

#[test]
fn a_branch_on_a_sentence_is_seen() {
    let seen = |body: &str| {
        let file = syn::parse_file(&format!("fn f() {{ {body} }}")).expect("Rust");
        let mut look = Look::default();
        look.visit_file(&file);
        look.places.len()
    };
    assert_eq!(
        seen(r#"if problem.cause.as_deref().unwrap().contains("full") {}"#),
        1
    );
    assert_eq!(seen(r#"if e.message == other {}"#), 1);
    assert_eq!(
        seen(r#"match text { "The disk is full." => {} _ => {} }"#),
        1
    );
    assert_eq!(seen(r#"let r: Left = cx.receipt("look")?;"#), 1);
    assert_eq!(
        seen(r#"if problem.code == Code::DiskFull { line.contains("full"); }"#),
        0
    );
    assert_eq!(seen("let left: Left = cx.receipt()?;"), 0);
}
