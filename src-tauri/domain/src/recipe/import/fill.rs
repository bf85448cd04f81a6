//! Puts values into the placeholders of a template, after its words were split: a value never becomes two words, unless
//! it is a row of numbers.

use std::collections::BTreeMap;

use super::words::{self, Piece, Quote, Word};

/// A word as it became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filled {
    /// The words; more than one only for a row of numbers.
    pub(super) words: Vec<String>,
    /// What was read otherwise than it is written, as a sentence.
    pub(super) remark: Option<&'static str>,
}

/// Puts values into one word. The error says why not, as a sentence.
pub(super) fn fill(word: &Word, values: &BTreeMap<String, String>) -> Result<Filled, String> {
    let mut text = String::new();
    let mut remark = None;
    let mut row = None;
    for piece in &word.0 {
        match piece {
            Piece::Variable(name) => text.push_str(&format!("${{{name}}}")),
            Piece::Text(piece, quote) => {
                let mut rest = piece.as_str();
                while let Some((before, name, after)) = placeholder(rest) {
                    text.push_str(before);
                    let value = values.get(name).ok_or_else(|| {
                        format!("Nothing says what stands in the place of `{{{name}}}`.")
                    })?;
                    if value.contains(['`', '\n', '\0'])
                        || value.contains("$(")
                        || value.contains("${")
                    {
                        return Err(format!(
                            "The value for `{{{name}}}` asks for something that only a shell knows."
                        ));
                    }
                    let alone = before.is_empty() && after.is_empty() && word.0.len() == 1;
                    match unescaped(value, *quote) {
                        Some(plain) => {
                            remark = Some("Its escapes are read as a shell would read them.");
                            text.push_str(&plain);
                        }
                        None => text.push_str(value),
                    }
                    if *quote == Quote::None && alone && is_row(value) {
                        row = Some(value.split(' ').map(str::to_owned).collect());
                    }
                    rest = after;
                }
                text.push_str(rest);
            }
        }
    }
    if let Some(words) = row {
        return Ok(Filled { words, remark });
    }
    if let Some(single) = single_braces(&text) {
        remark = Some("Its doubled braces stand for single ones.");
        text = single;
    }
    Ok(Filled {
        words: vec![text],
        remark,
    })
}

/// The first placeholder: what stands before it, its name, what stands behind it. Braces of JSON are none: their text
/// begins with a quote, or is no name.
fn placeholder(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(open) = text[from..].find('{').map(|at| at + from) {
        let inside = &text[open + 1..];
        let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        if let Some(end) = end
            && inside[end..].starts_with('}')
            && words::is_variable(&inside[..end])
        {
            return Some((&text[..open], &inside[..end], &inside[end + 1..]));
        }
        from = open + 1;
    }
    None
}

/// A value that stands without quotes and holds escapes of a shell: what a shell would make of it, if that is one word.
fn unescaped(value: &str, quote: Quote) -> Option<String> {
    if quote != Quote::None || !value.contains(['\\', '\'']) {
        return None;
    }
    match &words::split(value).ok()?[..] {
        [command] => match &command.words[..] {
            [word] => word.literal(),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a value is a row of whole numbers, which some arguments take.
fn is_row(value: &str) -> bool {
    value.contains(' ')
        && value
            .split(' ')
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
}

/// With `{{` and `}}` as single braces, where only that is JSON.
fn single_braces(text: &str) -> Option<String> {
    let is_json = |text: &str| serde_json::from_str::<serde_json::Value>(text).is_ok();
    if !text.contains("{{") || is_json(text) {
        return None;
    }
    // Of three braces in a row the inner two belong together: `{{"a":{"b":1}}}` closes an object that is single.
    let single = text.replace("{{", "{").replace("}}", "}");
    if is_json(&single) {
        return Some(single);
    }
    let opened = text.replace("{{", "{");
    let surplus = opened
        .matches('}')
        .count()
        .checked_sub(opened.matches('{').count())?;
    let kept = opened.len().checked_sub(surplus)?;
    let (head, tail) = opened.split_at_checked(kept)?;
    (tail.bytes().all(|b| b == b'}') && is_json(head)).then(|| head.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str, values: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let values = values
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let commands = words::split(text).expect("it can be split");
        let mut all = Vec::new();
        for word in &commands[0].words {
            all.extend(fill(word, &values)?.words);
        }
        Ok(all)
    }

    #[test]
    fn a_value_stays_one_word_whatever_it_holds() {
        let values = [
            ("port", "8000 --trust-remote-code"),
            ("a", "x; rm -rf /"),
            ("n", "1 2 4"),
        ];
        assert_eq!(
            filled("--port {port} {a}z '{n}' {n}", &values).expect("all have values"),
            [
                "--port",
                "8000 --trust-remote-code",
                "x; rm -rf /z",
                "1 2 4",
                "1",
                "2",
                "4"
            ]
        );
    }

    #[test]
    fn what_a_shell_would_run_in_a_value_is_refused_and_so_is_a_place_without_a_value() {
        for value in ["$(id)", "`id`", "${HOME}", "a\nb"] {
            assert!(filled("x {a}", &[("a", value)]).is_err(), "{value}");
            assert!(filled("x '{a}'", &[("a", value)]).is_err(), "{value}");
        }
        assert!(filled("x {nothing}", &[]).is_err());
        let nested = filled("x {a}", &[("a", "{b}"), ("b", "1")]);
        assert_eq!(nested.expect("a value is not filled again"), ["x", "{b}"]);
    }

    #[test]
    fn braces_of_json_are_read_whichever_way_they_are_written() {
        let k = [("k", "5")];
        let one = |text: &str| filled(text, &k).expect("it can be filled").remove(0);
        assert_eq!(one(r#"'{{"m":"x","n":{k}}}'"#), r#"{"m":"x","n":5}"#);
        assert_eq!(one(r#"'{"m":"x","n":{k}}'"#), r#"{"m":"x","n":5}"#);
        assert_eq!(one(r#"'{"a":{"b":{k}}}'"#), r#"{"a":{"b":5}}"#);
        assert_eq!(one(r#"'{{"a":{{"b":{k}}}}}'"#), r#"{"a":{"b":5}}"#);
        assert_eq!(
            one(r#"'{{"enable_thinking": true}}'"#),
            r#"{"enable_thinking": true}"#
        );
        let escaped = filled("{j}", &[("j", r#"{\"a\":false}"#)]).expect("it can be filled");
        assert_eq!(escaped, [r#"{"a":false}"#]);
    }
}
