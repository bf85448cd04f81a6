//! What the stand-in says. It is no model: it repeats what it was asked, counts, and says so.

/// Cuts text into tokens: a space and up to six letters or digits, or one other character.
pub(crate) fn tokens(text: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let mut word = 0;
    for c in text.chars() {
        let grows = match out.last() {
            Some(last) if c.is_alphanumeric() => last == " " || (word > 0 && word < 6),
            _ => false,
        };
        word = if !c.is_alphanumeric() {
            0
        } else if grows {
            word + 1
        } else {
            1
        };
        match out.last_mut() {
            Some(last) if grows => last.push(c),
            _ => out.push(c.to_string()),
        }
    }
    out
}

/// What is to be said: thoughts first, then the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) reasoning: String,
    pub(crate) answer: String,
}

/// The first sum or product in a text.
fn sum(text: &str) -> Option<String> {
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || matches!(c, '?' | ',' | '='))
        .filter(|w| !w.is_empty())
        .collect();
    let joined = words.iter().find_map(|w| {
        let at = w.find(['+', '*', '×'])?;
        let sign = w[at..].chars().next()?;
        Some((
            w[..at].parse::<i64>().ok()?,
            sign.to_string(),
            w[at + sign.len_utf8()..]
                .trim_end_matches('.')
                .parse::<i64>()
                .ok()?,
        ))
    });
    let apart = words.windows(3).find_map(|w| {
        Some((
            w[0].parse().ok()?,
            w[1].to_owned(),
            w[2].trim_end_matches('.').parse().ok()?,
        ))
    });
    let (a, sign, b): (i64, String, i64) = joined.or(apart)?;
    let value = match sign.as_str() {
        "+" | "plus" => a.checked_add(b)?,
        "*" | "×" | "x" | "times" => a.checked_mul(b)?,
        "-" | "minus" => a.checked_sub(b)?,
        _ => return None,
    };
    Some(value.to_string())
}

/// The few questions by which servers are tried out.
fn known(question: &str) -> Option<String> {
    let lower = question.to_lowercase();
    if lower.contains("capital of france") {
        return Some("Paris.".into());
    }
    if let Some(value) = sum(&lower) {
        return Some(format!("{value}."));
    }
    let asks_for_word = ["the word ", "exactly: ", "exactly "]
        .iter()
        .find_map(|lead| {
            let at = lower.find(lead)? + lead.len();
            let word: String = question
                .get(at..)?
                .trim_start_matches(['"', '“', '`', '\''])
                .chars()
                .take_while(|c| c.is_alphanumeric())
                .collect();
            (!word.is_empty()).then_some(word)
        });
    asks_for_word.map(|word| format!("{word}."))
}

/// Answers the last question. `seen` describes its images.
pub(crate) fn reply(question: &str, seen: &[String], thinking: bool) -> Reply {
    let short: String = question
        .split_whitespace()
        .take(24)
        .collect::<Vec<_>>()
        .join(" ");
    let mut answer = String::new();
    if let Some(known) = known(question) {
        answer.push_str(&known);
        answer.push(' ');
    }
    if !seen.is_empty() {
        answer.push_str(&format!("You sent {}. ", seen.join(" and ")));
    }
    answer.push_str(&format!(
        "This answer is simulated: a stand-in speaks in the model's place, so nothing was understood. You wrote: “{short}”. "
    ));
    answer.push_str(
        "Every rank took part in every word of it, the stream, the counts and the pauses are like those of the real server, and when a model is served here its words will take the place of these.",
    );
    let reasoning = if thinking {
        format!(
            "The person wrote “{short}”. I am a simulated stand-in and cannot think about it, but I can say what arrived and answer in the right form."
        )
    } else {
        String::new()
    };
    Reply { reasoning, answer }
}

/// Words without an end, for requests that ignore it.
pub(crate) fn filler(position: usize) -> String {
    const WORDS: [&str; 24] = [
        "and", "so", "the", "simul", "ated", "words", "go", "on", "like", "rain", "over", "a",
        "wide", "river", "until", "the", "limit", "is", "reached", "with", "no", "other", "end",
        ",",
    ];
    let word = WORDS[(position * 7 + position / 24) % WORDS.len()];
    if word == "," {
        word.to_owned()
    } else {
        format!(" {word}")
    }
}

#[cfg(test)]
mod tests {
    use super::{reply, sum, tokens};

    #[test]
    fn tokens_join_to_the_text() {
        for text in [
            "Hello, wide world!",
            "  two  spaces",
            "640 × 480 “quoted”",
            "",
        ] {
            assert_eq!(tokens(text).concat(), text);
        }
        assert_eq!(
            tokens("a bc extraordinary"),
            ["a", " bc", " extrao", "rdinar", "y"]
        );
    }

    #[test]
    fn the_questions_of_a_first_try_are_answered() {
        assert_eq!(sum("what is 17 + 25?").as_deref(), Some("42"));
        assert_eq!(sum("6*7").as_deref(), Some("42"));
        let r = reply("What is the capital of France?", &[], true);
        assert!(r.answer.starts_with("Paris.") && r.answer.contains("simulated"));
        let r = reply(
            "Reply with the word pong only",
            &["an image of 1 × 2 (PNG)".into()],
            false,
        );
        assert!(r.answer.starts_with("pong."), "{}", r.answer);
        assert!(r.answer.contains("an image of 1 × 2") && r.reasoning.is_empty());
    }
}
