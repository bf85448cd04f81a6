//! What two recordings have in common: everything but what differs from run to run by nature.

use serde_json::{Map, Value, json};

/// Numbers at or below these names are a time, a measured figure, or a state of the computer that records.
const MEASURED: &[&str] = &[
    "at",
    "added_at",
    "started_at",
    "finished_at",
    "updated_at",
    "used_at",
    "revision",
    "clock_ms",
    "clock_ahead_ms",
    "free",
    "total",
    "cached",
    "taken",
    "disk_free",
    "disk_total",
    "memory_total",
    "memory_available",
    "seconds",
    "hash_rate",
    "disk_rate",
    "cores",
    "rate",
    "samples",
    "pp_tps",
    "tg_tps",
    "ttft_s",
    "latency_s",
    "figures",
    "against_plain",
    "stats",
    "fit",
    "acceptance",
    "gbps",
    "ratio",
    "gpu_now",
    "sizes",
    "held",
];

/// Whether one figure stands out against another is measured too, and so are the words for it.
const CLEAR: &str = "clear";

/// What stands between the names of two measurements where it is told what of them differs, which is measured.
const AGAINST: &str = "” against “";

/// The first difference between two recordings, where one matters.
///
/// Not compared: numbers of the names in `MEASURED`; how far a step or a check had come when it was asked; digits within
/// sentences, since a measured figure is among them; what is told to differ between two measurements, and their notes; how an answer was cut into pieces; the order in which lines of different
/// machines came in, and how much of a log was heard.
pub(crate) fn difference(committed: &Value, fresh: &Value) -> Option<String> {
    first(&stable(committed, false), &stable(fresh, false), "")
}

/// `measured` are the numbers in it.
fn stable(value: &Value, measured: bool) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().map(|(name, value)| {
                let measured = measured || MEASURED.contains(&name.as_str());
                let value = match value {
                    Value::Bool(_) if name == CLEAR => Value::from("…"),
                    // Which sizes were not met, and which repeats were disturbed, is measured as well.
                    Value::Array(notes) if name == "notes" && notes.iter().all(is_note) => {
                        Value::from("…")
                    }
                    Value::Object(logs) if name == "logs" => {
                        let by_machine = logs
                            .iter()
                            .map(|(step, lines)| (step.clone(), by_machine(lines)));
                        Value::Object(by_machine.collect())
                    }
                    value => stable(value, measured),
                };
                (name.clone(), value)
            });
            Value::Object(kept.collect())
        }
        Value::Array(list) => {
            let whole = joined(list.iter().filter(|v| !is_progress(v)));
            let mut whole: Vec<Value> = whole.iter().map(|v| stable(v, measured)).collect();
            if measured {
                // How often something was measured depends on how long it took.
                whole.dedup();
            }
            Value::Array(whole)
        }
        Value::String(text) => match serde_json::from_str(text) {
            // Receipts, and what was there before, are data in a text.
            Ok(data @ (Value::Object(_) | Value::Array(_))) => stable(&data, measured),
            _ => Value::from(words(text)),
        },
        Value::Number(_) if measured => Value::from("…"),
        other => other.clone(),
    }
}

/// How far something is, and a line of a log: these stand in their order under `logs`.
fn is_progress(value: &Value) -> bool {
    let of = |name: &str| value[name].as_str().unwrap_or_default();
    matches!(of("signal"), "progress" | "log") || of("kind") == "progress"
}

/// The pieces of an answer as one.
fn joined<'a>(list: impl Iterator<Item = &'a Value>) -> Vec<Value> {
    let words = |v: &Value| v["kind"] == "words";
    let text = |v: &Value, part: &str| v[part].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<Value> = Vec::new();
    for value in list {
        match all.last_mut().filter(|last| words(last) && words(value)) {
            Some(last) => {
                for part in ["content", "reasoning"] {
                    last[part] = Value::from(text(last, part) + &text(value, part));
                }
            }
            None => all.push(value.clone()),
        }
    }
    all
}

/// The lines of a log by machine. A line that only tells other figures than the one before is told once: how often something
/// is measured depends on how long it takes.
fn by_machine(lines: &Value) -> Value {
    let mut all = Map::new();
    for line in lines.as_array().into_iter().flatten() {
        let line = words(line.as_str().unwrap_or_default());
        let machine = line.split_once("  ").map_or("", |(machine, _)| machine);
        let heard = all.entry(machine).or_insert_with(|| json!([]));
        if let Some(heard) = heard
            .as_array_mut()
            .filter(|h| h.last() != Some(&json!(line)))
        {
            heard.push(json!(line));
        }
    }
    Value::Object(all)
}

/// Whether it is a note of a measurement.
fn is_note(value: &Value) -> bool {
    value["kind"].is_string() && value["says"].is_string()
}

/// Each number is `#`, and so is what is written in hexadecimal.
fn words(text: &str) -> String {
    if let Some((kind, _)) = text.split_once(";base64,") {
        return kind.to_owned();
    }
    let text = match (text.contains(AGAINST), text.split_once('“')) {
        (true, Some((lead, _))) => format!("{lead}…"),
        _ => text.to_owned(),
    };
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || (c == '.' && word.ends_with(|d: char| d.is_ascii_digit())) {
            word.push(c);
            continue;
        }
        let number = word.trim_end_matches('.');
        let digit = number.contains(|d: char| d.is_ascii_digit());
        let id = number.len() == 12 && number.chars().all(|c| c.is_ascii_hexdigit());
        out.push_str(if digit || id { "#" } else { number });
        out.push_str(&word[number.len()..]);
        word.clear();
        out.push(c);
    }
    // The space that ended the last word.
    out.pop();
    out
}

fn first(a: &Value, b: &Value, at: &str) -> Option<String> {
    match (a, b) {
        (Value::Object(x), Value::Object(y)) => {
            let names = x.keys().chain(y.keys().filter(|n| !x.contains_key(*n)));
            let none = Value::Null;
            let mut found = names.filter_map(|n| {
                let (x, y) = (x.get(n).unwrap_or(&none), y.get(n).unwrap_or(&none));
                first(x, y, &format!("{at}.{n}"))
            });
            found.next()
        }
        (Value::Array(x), Value::Array(y)) => {
            let none = Value::Null;
            // A server is asked while its log is read, so how much of that was heard when it answered is chance.
            let compared = if at.contains(".logs.") {
                x.len().min(y.len())
            } else {
                x.len().max(y.len())
            };
            (0..compared).find_map(|n| {
                let (x, y) = (x.get(n).unwrap_or(&none), y.get(n).unwrap_or(&none));
                first(x, y, &format!("{at}[{n}]"))
            })
        }
        _ if a == b => None,
        _ => Some(format!("{at}\n  committed {a}\n  today     {b}")),
    }
}

#[test]
fn what_was_measured_may_differ_and_words_may_not() {
    let of = |says: &str, rate: u32| json!({"says": says, "rate": rate});
    for says in ["9 tokens/s", "0.5 tokens/s"] {
        assert_eq!(difference(&of("27.6 tokens/s", 1), &of(says, 2)), None);
    }
    assert_eq!(difference(&of("It is ab6.", 1), &of("It is a6b.", 1)), None);
    let found = difference(&of("27.6 tokens/s", 1), &of("27.6 words/s", 1));
    assert!(found.is_some_and(|f| f.contains("words/s")));
    let one = json!([{"signal": "event", "event": {"kind": "applying"}}]);
    let two = json!([{"signal": "event", "event": {"kind": "verified"}}]);
    assert!(difference(&one, &two).is_some());
}

#[test]
fn of_a_receipt_the_figures_alone_may_differ() {
    let of = |rate: f64, files: u32| {
        let receipt = json!({"rate": rate, "files": files}).to_string();
        json!({"kind": "applied", "receipt": receipt})
    };
    assert_eq!(difference(&of(1.0, 15), &of(2.5, 15)), None);
    let found = difference(&of(1.0, 15), &of(1.0, 16));
    assert!(found.is_some_and(|f| f.starts_with(".receipt.files")));
}

#[test]
fn the_order_of_lines_of_one_machine_matters() {
    let of = |lines: [&str; 3]| json!({"logs": {"weights": lines}});
    let ordered = of(["a  one", "b  one", "a  two"]);
    assert_eq!(
        difference(&ordered, &of(["a  one", "a  two", "b  one"])),
        None
    );
    assert!(difference(&ordered, &of(["a  two", "a  one", "b  one"])).is_some());
}
