//! How tokens are drafted: one JSON object that may be given as a whole, member by member, or by short arguments.

use serde_json::{Map, Value};

use super::model::repo_of;
use super::{Adopted, item, told};
use crate::engine::vllm::flags::Given;
use crate::recipe::import::report::{ImportFate, Report};
use crate::recipe::{Arg, Drafting};

/// The object as it comes together.
#[derive(Default)]
pub(super) struct Parts {
    members: Map<String, Value>,
    given: Vec<String>,
}

impl Parts {
    pub(super) fn take(&mut self, given: &Given, report: &mut Report) {
        let text = given.value().unwrap_or_default();
        let value = || serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
        let key = match given.name.as_str() {
            "spec-method" => Some("method"),
            "spec-model" => Some("model"),
            "spec-tokens" => Some("num_speculative_tokens"),
            _ => given.path.as_deref(),
        };
        match (key, serde_json::from_str::<Value>(text)) {
            (Some(key), _) if !key.contains('.') => {
                self.members.insert(key.to_owned(), value());
            }
            (None, Ok(Value::Object(all))) => self.members.extend(all),
            _ => {
                let why = "It has to be one JSON object, or members of it.";
                return report.note(ImportFate::Missing, item(given), told(given), why);
            }
        }
        self.given.push(told(given));
    }

    pub(super) fn into_adopted(mut self, adopted: &mut Adopted, report: &mut Report) {
        if self.members.is_empty() {
            return;
        }
        let given = self.given.join(" ");
        let item = "--speculative-config";
        let text = |members: &Map<String, Value>, key: &str| {
            members.get(key).and_then(Value::as_str).map(str::to_owned)
        };
        let json = Value::Object(self.members.clone()).to_string();
        if json.chars().any(crate::foreign_text::is_unseen) {
            let why = "It holds characters that cannot be seen.";
            return report.note(ImportFate::Missing, item, given, why);
        }
        let mut own = None;
        if let Some(model) = text(&self.members, "model") {
            let Some(mut repo) = repo_of(&model) else {
                let why = "What drafts is no repository of the Hub.";
                return report.note(ImportFate::Missing, item, given, why);
            };
            if let Some(revision) = text(&self.members, "revision") {
                if !crate::repository::is_revision(&revision) {
                    let why = "The revision of what drafts is none.";
                    return report.note(ImportFate::Missing, item, given, why);
                }
                repo.revision = revision;
            }
            own = Some(repo);
        }
        let tokens = self
            .members
            .get("num_speculative_tokens")
            .and_then(Value::as_u64);
        let tokens = tokens
            .and_then(|n| u32::try_from(n).ok())
            .filter(|n| (1..=64).contains(n));
        let method = text(&self.members, "method");
        let (Some(method), Some(tokens)) = (method, tokens) else {
            if let Some(repo) = &own {
                // The engine finds it offline by its name and revision.
                self.members
                    .insert("model".into(), repo.name.clone().into());
            }
            let words = vec![item.to_owned(), Value::Object(self.members).to_string()];
            let why = "How many tokens are drafted, or how, is left to the engine.";
            report.becomes(ImportFate::Kept, item, given, words.join(" "), why);
            adopted.drafting_args.push(Arg { words, why: None });
            adopted.draft = own;
            return;
        };
        for key in ["method", "model", "num_speculative_tokens", "revision"] {
            self.members.remove(key);
        }
        let told = match tokens {
            1 => format!("{method}, 1 token"),
            _ => format!("{method}, {tokens} tokens"),
        };
        let why = match own {
            Some(_) => "What drafts is fetched too, and named by its folder on each machine.",
            None => "",
        };
        report.becomes(ImportFate::Kept, item, given, told, why);
        adopted.drafting = Some(Drafting {
            method,
            tokens,
            most: tokens,
            folder: None,
            more: self.members.into_iter().collect(),
        });
        adopted.draft = own;
    }
}
