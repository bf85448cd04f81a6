//! Values that are settings of every recipe.

use super::{Adopted, item, told};
use crate::engine::vllm::flags::Given;
use crate::recipe::import::report::{ImportFate, Report};

/// The longest context that a recipe can have.
const LONGEST: u32 = 1_048_576;

/// Reads a count as the engine does: `64k` is 64,000 and `64K` is 65,536.
pub(super) fn count(text: &str) -> Option<u64> {
    let (number, factor) = match text.char_indices().last()? {
        (at, 'k') => (&text[..at], 1e3),
        (at, 'm') => (&text[..at], 1e6),
        (at, 'K') => (&text[..at], 1024.0),
        (at, 'M') => (&text[..at], 1024.0 * 1024.0),
        _ => return text.parse().ok(),
    };
    let value = number.parse::<f64>().ok()? * factor;
    (value.fract() == 0.0 && (0.0..1e15).contains(&value)).then_some(value as u64)
}

pub(super) fn context(given: &Given, adopted: &mut Adopted, report: &mut Report) {
    let text = given.value().unwrap_or_default();
    let mut note = |fate, becomes: String, why: &str| {
        report.becomes(fate, item(given), told(given), becomes, why);
    };
    match count(text) {
        _ if ["auto", "-1"].contains(&text) => report.note(
            ImportFate::Recomputed,
            item(given),
            told(given),
            "Tandem asks for a number, so that it can be held against the memory.",
        ),
        Some(tokens @ 256..=1_048_576) => {
            let tokens = u32::try_from(tokens).unwrap_or(LONGEST);
            adopted.context = Some(tokens);
            match text == tokens.to_string() {
                true => report.kept(item(given), told(given)),
                false => note(
                    ImportFate::Changed,
                    tokens.to_string(),
                    "It is the same as a number.",
                ),
            }
        }
        Some(more) if more > LONGEST.into() => {
            adopted.context = Some(LONGEST);
            note(
                ImportFate::Changed,
                LONGEST.to_string(),
                "Tandem takes no longer context.",
            );
        }
        _ => report.note(
            ImportFate::Missing,
            item(given),
            told(given),
            "It is no number of tokens from 256 on.",
        ),
    }
}

pub(super) fn memory_share(given: &Given, adopted: &mut Adopted, report: &mut Report) {
    let text = given.value().unwrap_or_default();
    match text.parse::<f64>() {
        Ok(share) if (0.1..=0.95).contains(&share) => {
            adopted.memory_share = Some(share);
            report.kept(item(given), told(given));
        }
        Ok(share) if (0.95..=1.0).contains(&share) => {
            adopted.memory_share = Some(0.95);
            let why = "The system needs the rest of the memory.";
            report.becomes(ImportFate::Changed, item(given), told(given), "0.95", why);
        }
        _ => report.note(
            ImportFate::Missing,
            item(given),
            told(given),
            "It is no share of the memory from 0.1 to 0.95.",
        ),
    }
}

pub(super) fn served_name(given: &Given, adopted: &mut Adopted, report: &mut Report) {
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
    };
    match &given.values[..] {
        [name] if is_name(name) => {
            adopted.served_name = Some(name.clone());
            report.kept(item(given), told(given));
        }
        [name, ..] if is_name(name) => {
            adopted.served_name = Some(name.clone());
            let why = "Requests use one name, the first.";
            report.becomes(ImportFate::Changed, item(given), told(given), name, why);
        }
        _ => report.note(
            ImportFate::Refused,
            item(given),
            told(given),
            "A name in requests is made of letters, digits, `-`, `_`, `.` and `/`; the model’s own name is used.",
        ),
    }
}
