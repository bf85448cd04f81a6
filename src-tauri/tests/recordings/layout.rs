//! The text of a recording: what fits is one line, so that changes are read line by line.

use serde_json::Value;

/// Characters of a line: one network adapter, one step forward, one measurement.
const WIDTH: usize = 300;

/// A value as a text that ends with a line break.
pub(crate) fn text(value: &Value) -> String {
    laid_out(value, 0) + "\n"
}

fn laid_out(value: &Value, depth: usize) -> String {
    let whole = value.to_string();
    if depth + whole.len() <= WIDTH {
        return whole;
    }
    let inner = |value| laid_out(value, depth + 1);
    let (open, parts, close) = match value {
        Value::Object(map) => {
            let named =
                |(name, value)| format!("{}:{}", Value::from(String::clone(name)), inner(value));
            ('{', map.iter().map(named).collect::<Vec<_>>(), '}')
        }
        Value::Array(list) => ('[', list.iter().map(inner).collect(), ']'),
        _ => return whole,
    };
    let (pad, end) = (" ".repeat(depth + 1), " ".repeat(depth));
    format!(
        "{open}\n{pad}{}\n{end}{close}",
        parts.join(&format!(",\n{pad}"))
    )
}

#[test]
fn it_is_the_same_value() {
    let value = serde_json::json!({"a": ["x".repeat(200), "y".repeat(200)], "b": {}, "c": "\"\n"});
    let text = text(&value);
    assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(value));
    assert_eq!(text.lines().count(), 8);
}
