//! YAML read within limits, every scalar as the text that stands there: `12.1a`, `on`, `0731` and `6G` mean what they say.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle};

/// The longest text, in bytes.
const LONGEST: usize = 256 * 1024;

/// The most nodes, with those that aliases repeat.
const MOST_NODES: usize = 20_000;

/// The deepest nesting.
const DEEPEST: usize = 24;

/// A node of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    /// Nothing: `null`, `~` or no value.
    Null,
    /// A text, as it stands there.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order. Of a key that stands twice the last counts.
    Map(Vec<(String, Node)>),
}

/// A document, and the keys that stand twice in a mapping.
#[derive(Debug)]
pub(super) struct Document {
    /// Its root.
    pub(super) root: Node,
    /// Keys that stood twice.
    pub(super) twice: Vec<String>,
}

impl Node {
    /// The value of a key, where it is a mapping that has one.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        let found = self.entries().iter().rev().find(|(k, _)| k == key);
        found
            .map(|(_, node)| node)
            .filter(|node| **node != Node::Null)
    }

    /// The value of keys one below the other.
    pub(super) fn at(&self, keys: &[&str]) -> Option<&Node> {
        keys.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Its text.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of a key.
    pub(super) fn text_of(&self, key: &str) -> Option<&str> {
        self.get(key)?.text()
    }

    /// The whole number of a key.
    pub(super) fn number_of(&self, key: &str) -> Option<u32> {
        self.text_of(key)?.parse().ok()
    }

    /// Whether a key says yes.
    pub(super) fn says(&self, key: &str) -> bool {
        self.text_of(key)
            .is_some_and(|text| ["true", "True", "TRUE", "yes", "on"].contains(&text))
    }

    /// The entries of a mapping.
    pub(super) fn entries(&self) -> &[(String, Node)] {
        match self {
            Node::Map(all) => all,
            _ => &[],
        }
    }

    /// The items of a list; a text alone is a list of one.
    pub(super) fn items(&self) -> &[Node] {
        match self {
            Node::List(all) => all,
            Node::Text(_) => std::slice::from_ref(self),
            _ => &[],
        }
    }

    /// The texts of a list.
    pub(super) fn texts(&self) -> Vec<String> {
        self.items()
            .iter()
            .filter_map(Node::text)
            .map(str::to_owned)
            .collect()
    }

    /// On one line, for people.
    pub(super) fn shown(&self) -> String {
        match self {
            Node::Null => "null".into(),
            Node::Text(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
            Node::List(all) => all.iter().map(Node::shown).collect::<Vec<_>>().join(", "),
            Node::Map(all) => {
                let pairs: Vec<String> = all
                    .iter()
                    .map(|(k, v)| format!("{k}: {}", v.shown()))
                    .collect();
                pairs.join(", ")
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Node::Null => 1,
            // A long text counts as several, so that aliases cannot repeat it without end.
            Node::Text(text) => 1 + text.len() / 32,
            Node::List(all) => 1 + all.iter().map(Node::size).sum::<usize>(),
            Node::Map(all) => 1 + all.iter().map(|(_, v)| 1 + v.size()).sum::<usize>(),
        }
    }
}

/// Reads one document. The error says why not, as a sentence.
pub(super) fn read(text: &str) -> Result<Document, String> {
    if text.len() > LONGEST {
        return Err(format!("It is longer than {LONGEST} bytes."));
    }
    let mut reader = Reader::default();
    for event in Parser::new_from_str(text) {
        let (event, span) =
            event.map_err(|e| format!("Line {}: {}.", e.marker().line(), e.info()))?;
        reader
            .take(event)
            .map_err(|why| format!("Line {}: {why}", span.start.line()))?;
    }
    let root = reader.root.ok_or("It is empty.")?;
    Ok(Document {
        root,
        twice: reader.twice,
    })
}

#[derive(Default)]
struct Reader {
    open: Vec<Open>,
    root: Option<Node>,
    documents: usize,
    nodes: usize,
    anchors: BTreeMap<usize, Node>,
    twice: Vec<String>,
}

/// A list or a mapping that is being read.
struct Open {
    node: Node,
    /// The key whose value comes next.
    key: Option<String>,
    anchor: usize,
}

impl Reader {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                match self.documents {
                    1 => Ok(()),
                    _ => Err("It holds more than one document.".into()),
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                // `!` and `!!str` say what every scalar is here.
                if tag.is_some_and(|tag| !tag.to_string().ends_with("str")) {
                    return Err("It has a tag, which asks for a type of its own.".into());
                }
                let null = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let node = if null {
                    Node::Null
                } else {
                    Node::Text(text.into_owned())
                };
                self.close(node, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(Node::List(Vec::new()), anchor, tag.is_some())
            }
            Event::MappingStart(_, anchor, tag) => {
                self.open(Node::Map(Vec::new()), anchor, tag.is_some())
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => self.close(open.node, open.anchor),
                None => Ok(()),
            },
            Event::Alias(id) => {
                let node = self.anchors.get(&id).cloned();
                let node = node.ok_or("It repeats something within itself.")?;
                self.count(node.size())?;
                self.close(node, 0)
            }
            _ => Ok(()),
        }
    }

    fn count(&mut self, more: usize) -> Result<(), String> {
        self.nodes += more;
        match self.nodes > MOST_NODES {
            true => Err(format!("It has more than {MOST_NODES} values.")),
            false => Ok(()),
        }
    }

    fn open(&mut self, node: Node, anchor: usize, tagged: bool) -> Result<(), String> {
        if tagged {
            return Err("It has a tag, which asks for a type of its own.".into());
        }
        if self.open.len() >= DEEPEST {
            return Err(format!("It is nested deeper than {DEEPEST}."));
        }
        if matches!(
            self.open.last(),
            Some(Open {
                node: Node::Map(_),
                key: None,
                ..
            })
        ) {
            return Err("A key is no text.".into());
        }
        self.open.push(Open {
            node,
            key: None,
            anchor,
        });
        Ok(())
    }

    /// Puts a finished node where it belongs.
    fn close(&mut self, node: Node, anchor: usize) -> Result<(), String> {
        self.count(1)?;
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(Open {
                node: Node::List(all),
                ..
            }) => all.push(node),
            Some(Open {
                node: Node::Map(all),
                key,
                ..
            }) => match (key.take(), node) {
                (Some(key), value) => {
                    if all.iter().any(|(k, _)| *k == key) {
                        self.twice.push(key.clone());
                        all.retain(|(k, _)| *k != key);
                    }
                    all.push((key, value));
                }
                (None, Node::Text(text)) if text == "<<" => {
                    return Err("It merges mappings with `<<`.".into());
                }
                (None, Node::Text(text)) => *key = Some(text),
                (None, _) => return Err("A key is no text.".into()),
            },
            Some(_) => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(text: &str) -> Node {
        read(text).unwrap_or_else(|e| panic!("{text}: {e}")).root
    }

    #[test]
    fn every_scalar_is_the_text_that_stands_there() {
        let node = root(
            "a: 12.1a\nb: on\nc: 0731\nd: 1e3\ne: 6G\nf: 0.90\ng: ~\nh: ''\ni: null\nj: 'null'\nk: 1_000\n",
        );
        for (key, text) in [
            ("a", "12.1a"),
            ("b", "on"),
            ("c", "0731"),
            ("d", "1e3"),
            ("e", "6G"),
            ("f", "0.90"),
            ("h", ""),
            ("j", "null"),
            ("k", "1_000"),
        ] {
            assert_eq!(node.text_of(key), Some(text), "{key}");
        }
        assert_eq!((node.get("g"), node.get("i")), (None, None));
        assert_eq!(
            root("c: |\n  a \\\n    b\n").text_of("c"),
            Some("a \\\n  b\n")
        );
    }

    #[test]
    fn of_a_key_that_stands_twice_the_last_counts_and_it_is_told() {
        let document = read("a: 1\nb: 2\na: 3\n").expect("it can be read");
        assert_eq!(document.root.text_of("a"), Some("3"));
        assert_eq!(document.twice, ["a"]);
    }

    #[test]
    fn what_could_grow_or_become_something_else_is_refused() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x]\n");
        for n in 1..12 {
            let list = format!("*a{},", n - 1).repeat(8);
            bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        let deep = format!("a: {}{}", "[".repeat(60), "]".repeat(60));
        let long = format!("a: {}", "x".repeat(300_000));
        let many = format!("a: [{}]", "x,".repeat(30_000));
        for bad in [
            bomb.as_str(),
            &deep,
            &long,
            &many,
            "a: !!python/object/apply:os.system ['id']",
            "a: !include /etc/passwd",
            "!!map {a: 1}",
            "x: &x {a: 1}\ny:\n  <<: *x\n",
            "a: 1\n---\nb: 2\n",
            "? [a]\n: 1\n",
            "a: &a [*a]",
            "",
            "a: *b",
            "a: 'x",
            "\t- x: [",
            "? {a: b}\n: c",
        ] {
            assert!(read(bad).is_err(), "{}", &bad[..bad.len().min(60)]);
        }
        let few = root("x: &x [1, 2]\ny: *x\n");
        assert_eq!(few.get("y"), few.get("x"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[ -~\n]{0,200}") {
            let _ = read(&text);
        }
    }
}
