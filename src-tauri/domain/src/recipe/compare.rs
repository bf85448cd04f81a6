//! What a person's copy of a recipe has otherwise than the original.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Recipe;
use crate::shell::as_words;

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct RecipeDifference {
    /// Where it stands, such as `settings.context` or `args.--port`.
    pub item: String,
    /// What the copy has; `None` where it has nothing.
    pub copy: Option<String>,
    /// What the original has; `None` where it has nothing.
    pub original: Option<String>,
}

/// Everything that differs, by its place. Empty for equal recipes; the order of arguments alone is no difference.
pub fn differences(copy: &Recipe, original: &Recipe) -> Vec<RecipeDifference> {
    let (copy, original) = (places(copy), places(original));
    let mut items: Vec<&String> = copy.keys().chain(original.keys()).collect();
    items.sort();
    items.dedup();
    let differing = items
        .into_iter()
        .filter(|item| copy.get(*item) != original.get(*item));
    differing
        .map(|item| RecipeDifference {
            item: item.clone(),
            copy: copy.get(item).cloned(),
            original: original.get(item).cloned(),
        })
        .collect()
}

/// Every value of a recipe by its place.
fn places(recipe: &Recipe) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let value = serde_json::to_value(recipe).expect("a recipe is plain data");
    note("", &value, &mut all);
    all
}

fn note(place: &str, value: &Value, all: &mut BTreeMap<String, String>) {
    let below = |key: &str| match place {
        "" => key.to_owned(),
        place => format!("{place}.{key}"),
    };
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (key, value) in members {
                note(&below(key), value, all);
            }
        }
        Value::Array(items) if items.iter().all(Value::is_string) => {
            if !items.is_empty() {
                let words = as_words(items.iter().filter_map(Value::as_str));
                all.insert(place.to_owned(), words);
            }
        }
        Value::Array(items) => {
            let mut seen: BTreeMap<String, usize> = BTreeMap::new();
            for (at, item) in items.iter().enumerate() {
                let name = name(item).unwrap_or_else(|| at.to_string());
                let times = seen.entry(name.clone()).or_default();
                *times += 1;
                let key = match times {
                    1 => name,
                    n => format!("{name} ({n})"),
                };
                note(&below(&key), item, all);
            }
        }
        Value::String(text) => {
            all.insert(place.to_owned(), text.clone());
        }
        other => {
            all.insert(place.to_owned(), other.to_string());
        }
    }
}

/// What an item of a list is called: its id, its first word, its role.
fn name(item: &Value) -> Option<String> {
    let text = |key: &str| item.get(key)?.as_str().map(str::to_owned);
    let first = || item.get("words")?.get(0)?.as_str().map(str::to_owned);
    text("id").or_else(first).or_else(|| text("role"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::{Arg, catalog};

    #[test]
    fn equal_recipes_do_not_differ_and_every_change_is_told() {
        for one in catalog::all() {
            assert_eq!(differences(one, one), []);
        }
        let original = &catalog::all()[0];
        let mut copy = original.clone();
        copy.settings.context += 1;
        copy.args.reverse();
        copy.args.push(Arg {
            words: vec!["--some-new".into(), "a b".into()],
            why: None,
        });
        copy.env.insert("SOME".into(), "1".into());
        copy.artifacts[0].revision = "other".into();
        let told = differences(&copy, original);
        let of = |item: &str| {
            let found = told.iter().find(|d| d.item == item);
            found.unwrap_or_else(|| panic!("{item}: {told:?}"))
        };
        assert_eq!(told.len(), 4);
        assert_eq!(
            of("settings.context").copy,
            Some(copy.settings.context.to_string())
        );
        assert_eq!(
            of("args.--some-new.words").copy.as_deref(),
            Some("--some-new 'a b'")
        );
        assert_eq!(of("args.--some-new.words").original, None);
        assert_eq!(of("env.SOME").copy.as_deref(), Some("1"));
        assert_eq!(
            of("artifacts.served.revision").copy.as_deref(),
            Some("other")
        );
        let back = differences(original, &copy);
        assert!(
            told.iter()
                .zip(&back)
                .all(|(a, b)| (&a.copy, &a.original) == (&b.original, &b.copy))
        );
    }
}
