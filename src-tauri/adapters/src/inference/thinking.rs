//! Reasoning that a server without a reasoning parser leaves in the answer, between `<think>` and `</think>`.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Parts an answer that begins with the tag.
#[derive(Debug, Default)]
pub(super) struct ThinkTags {
    place: TagPlace,
    /// What may be the begin of a tag.
    held: String,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum TagPlace {
    /// Nothing but spaces came.
    #[default]
    Before,
    Inside,
    /// Between the end of the reasoning and the first word.
    Between,
    After,
}

impl ThinkTags {
    /// The server parts reasoning and answer itself, so what looks like a tag is a word of the answer.
    pub(super) fn not_here(&mut self) {
        if self.place == TagPlace::Before && self.held.is_empty() {
            self.place = TagPlace::After;
        }
    }

    /// Takes the next words of the answer; adds to reasoning and content what is sure.
    pub(super) fn push(&mut self, words: &str, reasoning: &mut String, content: &mut String) {
        self.held.push_str(words);
        loop {
            match self.place {
                TagPlace::Before => {
                    let begin = self.held.trim_start();
                    if let Some(rest) = begin.strip_prefix(OPEN) {
                        self.held = rest.to_owned();
                        self.place = TagPlace::Inside;
                    } else if OPEN.starts_with(begin) {
                        return;
                    } else {
                        self.place = TagPlace::After;
                    }
                }
                TagPlace::Inside => {
                    let Some((inside, rest)) = self.held.split_once(CLOSE) else {
                        let kept = tail(&self.held);
                        reasoning.push_str(&self.held[..self.held.len() - kept]);
                        self.held.drain(..self.held.len() - kept);
                        return;
                    };
                    reasoning.push_str(inside);
                    self.held = rest.to_owned();
                    self.place = TagPlace::Between;
                }
                TagPlace::Between => {
                    let begin = self.held.trim_start();
                    if begin.is_empty() {
                        return;
                    }
                    self.held = begin.to_owned();
                    self.place = TagPlace::After;
                }
                TagPlace::After => {
                    content.push_str(&std::mem::take(&mut self.held));
                    return;
                }
            }
        }
    }

    /// What was held back, once nothing follows: an answer that ends within what looked like a tag.
    pub(super) fn end(&mut self, reasoning: &mut String, content: &mut String) {
        let held = std::mem::take(&mut self.held);
        match self.place {
            TagPlace::Inside => reasoning.push_str(&held),
            TagPlace::Between => {}
            TagPlace::Before | TagPlace::After => content.push_str(&held),
        }
    }
}

/// How many bytes at the end may begin the closing tag.
fn tail(text: &str) -> usize {
    let longest = CLOSE.len() - 1;
    (1..=longest.min(text.len()))
        .rev()
        .find(|n| text.ends_with(&CLOSE[..*n]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(text: &str, piece: usize) -> (String, String) {
        let (mut reasoning, mut content) = (String::new(), String::new());
        let mut tags = ThinkTags::default();
        let letters: Vec<char> = text.chars().collect();
        for part in letters.chunks(piece) {
            let part: String = part.iter().collect();
            tags.push(&part, &mut reasoning, &mut content);
        }
        tags.end(&mut reasoning, &mut content);
        (reasoning, content)
    }

    #[test]
    fn however_it_is_cut_the_parts_are_the_same() {
        for (text, reasoning, content) in [
            (
                "<think>The user greets.</think>\n\nHello",
                "The user greets.",
                "Hello",
            ),
            ("\n<think>\nhm", "\nhm", ""),
            ("<think>a < b </thin c</think>d", "a < b </thin c", "d"),
            ("Hello <think>", "", "Hello <think>"),
            ("<thin", "", "<thin"),
            (" \n", "", " \n"),
            ("<think></think>", "", ""),
            ("<thinker>", "", "<thinker>"),
        ] {
            for piece in [1, 2, 3, 100] {
                let parts = parted(text, piece);
                assert_eq!(
                    (parts.0.as_str(), parts.1.as_str()),
                    (reasoning, content),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn where_the_server_parts_them_a_tag_is_a_word() {
        let (mut reasoning, mut content) = (String::new(), String::new());
        let mut tags = ThinkTags::default();
        tags.not_here();
        tags.push("<think>", &mut reasoning, &mut content);
        assert_eq!((reasoning.as_str(), content.as_str()), ("", "<think>"));
    }
}
