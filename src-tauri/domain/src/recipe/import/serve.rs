//! The command that serves, found among those around it.

use std::collections::BTreeMap;

use super::assemble::ImportParts;
use super::refused;
use super::report::{ImportFate, told};
use super::words::{self, CommandWords, Piece, Quote, Word, is_variable};
use crate::engine::vllm::adopt;
use crate::problem::Problem;
use ImportFate::{Changed, Missing, Recomputed, Refused};

/// The command that serves: its words, and the variables that are set for it.
pub(super) struct ServeLine {
    pub words: Vec<Word>,
    pub env: Vec<(String, Word)>,
}

/// Takes the words of a program; `image` is the one whose entry point comes before them.
pub(super) fn take_serve(words: &[String], image: Option<&str>, found: &mut ImportParts) {
    let serves = image.is_some_and(adopt::entry_point_serves);
    let first = words.first().map_or("", String::as_str);
    found.words = match adopt::after_serve(words) {
        Some(rest) => rest.to_vec(),
        None if serves && first == "serve" => words[1..].to_vec(),
        None if serves => words.to_vec(),
        None => {
            let entry = image.filter(|_| first.starts_with('-') || adopt::repo_of(first).is_some());
            found.other_engine = Some(match entry {
                Some(image) => format!("entry point of {image}"),
                None => first.to_owned(),
            });
            words.to_vec()
        }
    };
}

/// Finds the one command that serves, and says what becomes of the others. Two that differ in the rank of their machine
/// alone are one.
pub(super) fn serve_line(
    commands: &[CommandWords],
    found: &mut ImportParts,
) -> Result<ServeLine, Problem> {
    let mut exported: Vec<(String, Word)> = Vec::new();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut serving: Vec<ServeLine> = Vec::new();
    for command in commands {
        let mut words = &command.words[..];
        // A prompt that was copied along.
        if words
            .first()
            .and_then(Word::literal)
            .is_some_and(|w| ["$", "#", "%", ">"].contains(&w.as_str()))
        {
            words = &words[1..];
        }
        let export = words
            .first()
            .and_then(Word::literal)
            .is_some_and(|w| w == "export");
        let words = if export { &words[1..] } else { words };
        let sets = words.iter().take_while(|w| assignment(w).is_some()).count();
        let pairs: Vec<(String, Word)> = words[..sets].iter().filter_map(assignment).collect();
        let rest = without_wrappers(&words[sets..], found);
        if rest.is_empty() || export {
            for (name, value) in pairs {
                let value = resolved(&value, &known);
                known.insert(name.clone(), value.clone());
                if export {
                    exported.push((name, Word::plain(value)));
                }
            }
            continue;
        }
        let told: Vec<String> = rest.iter().map(|w| resolved(w, &known)).collect();
        if let Some(inner) = of_shell(&told, found)? {
            let words = inner.into_iter().map(Word::plain).collect();
            serving.push(ServeLine { words, env: pairs });
            continue;
        }
        let program = rest[0].shown();
        if beside(&program, rest, found) {
            continue;
        }
        serving.push(ServeLine {
            words: rest.to_vec(),
            env: pairs,
        });
    }
    let mut all = serving.into_iter();
    let Some(mut line) = all.next() else {
        return Err(refused("It holds no command that serves a model."));
    };
    for other in all {
        let of = |line: &ServeLine| {
            line.words
                .iter()
                .map(|w| resolved(w, &known))
                .collect::<Vec<_>>()
        };
        let (one, two) = (of(&line), of(&other));
        let same = match (adopt::after_serve(&one), adopt::after_serve(&two)) {
            (Some(one), Some(two)) => adopt::differ_in_rank_alone(one, two),
            _ => one == two,
        };
        if !same {
            return Err(refused(
                "It holds several commands that serve, and they differ in more than the rank of their machine. Give one of them.",
            ));
        }
        let why = "It is the same command for another rank; each machine gets its own.";
        found.report.note(Recomputed, "command", told(&two), why);
    }
    for word in &mut line.words {
        *word = Word(word.0.iter().map(|piece| filled(piece, &known)).collect());
    }
    let mut env = exported;
    env.append(&mut line.env);
    line.env = env;
    Ok(line)
}

/// `NAME=value` before a command.
fn assignment(word: &Word) -> Option<(String, Word)> {
    let Piece::Text(first, Quote::None) = word.0.first()? else {
        return None;
    };
    let (name, value) = first.split_once('=')?;
    if !is_variable(name) {
        return None;
    }
    let mut pieces = vec![Piece::Text(value.to_owned(), Quote::None)];
    pieces.extend(word.0[1..].iter().cloned());
    Some((name.to_owned(), Word(pieces)))
}

/// Without programs that only start another one.
fn without_wrappers<'a>(mut words: &'a [Word], found: &mut ImportParts) -> &'a [Word] {
    while let Some(first) = words.first().and_then(Word::literal) {
        let why = match first.as_str() {
            "sudo" => "Tandem needs no root for it.",
            "exec" | "nohup" | "time" | "command" => "It only starts what follows.",
            _ => break,
        };
        found.report.note(Recomputed, "command", first, why);
        words = &words[1..];
    }
    words
}

/// Commands that stand around one that serves. Whether it is one of them.
fn beside(program: &str, words: &[Word], found: &mut ImportParts) -> bool {
    let all: Vec<String> = words.iter().map(Word::shown).collect();
    let shown = told(&all);
    let second = words.get(1).map(Word::shown).unwrap_or_default();
    let (fate, why) = match (program, second.as_str()) {
        ("docker", "run") | ("docker", "container") => return false,
        ("docker", "pull") => (
            Refused,
            "Tandem pulls the image once and copies it over the link.",
        ),
        ("docker", "stop" | "rm" | "logs" | "ps" | "login") => {
            (Refused, "Tandem looks after its containers itself.")
        }
        ("docker", _) => (
            Missing,
            "It does something with Docker that nobody was shown.",
        ),
        ("mkdir", _) => (
            Refused,
            "Tandem mounts no folders but those of the weights.",
        ),
        ("hf" | "huggingface-cli", _) => (Refused, "Tandem fetches the weights itself."),
        ("cd" | "set" | "echo" | "sleep" | "ray", _) => (Refused, "Serving does not need it here."),
        (
            "curl" | "wget" | "pip" | "uv" | "apt" | "apt-get" | "git" | "source" | "." | "bash"
            | "sh" | "ssh" | "chmod" | "cp" | "ln" | "rm" | "mv" | "patch" | "sed",
            _,
        ) => (
            Missing,
            "It would run or change something that nobody was shown.",
        ),
        (
            "if" | "for" | "while" | "then" | "fi" | "do" | "done" | "else" | "case" | "function"
            | "eval" | "trap",
            _,
        ) => (Missing, "It is logic of a shell."),
        _ => return false,
    };
    found.report.note(fate, "command", shown, why);
    true
}

/// The text of a word with the variables that the text itself sets; others stay as `${NAME}`.
fn resolved(word: &Word, known: &BTreeMap<String, String>) -> String {
    Word(word.0.iter().map(|piece| filled(piece, known)).collect()).shown()
}

fn filled(piece: &Piece, known: &BTreeMap<String, String>) -> Piece {
    match piece {
        Piece::Variable(name) => match known.get(name) {
            Some(value) => Piece::Text(value.clone(), Quote::Double),
            None => piece.clone(),
        },
        Piece::Text(..) => piece.clone(),
    }
}

/// Words of a shell that is handed its command as a text: `bash -c "…"`. They are split, and the shell is left out.
pub(super) fn of_shell(
    words: &[String],
    found: &mut ImportParts,
) -> Result<Option<Vec<String>>, Problem> {
    let shell = words
        .first()
        .map(|w| w.rsplit('/').next().unwrap_or(w).to_owned());
    if !shell.is_some_and(|s| ["bash", "sh", "zsh"].contains(&s.as_str())) {
        return Ok(None);
    }
    let [_, flag, text, rest @ ..] = words else {
        return Ok(None);
    };
    if !["-c", "-lc", "-ec"].contains(&flag.as_str()) || !rest.is_empty() {
        return Ok(None);
    }
    let commands = words::split(text).map_err(|e| {
        refused(format!(
            "The text for the shell: {} Nothing of it was run.",
            e.why
        ))
    })?;
    let line = serve_line(&commands, found)?;
    for (name, value) in &line.env {
        found.env.push((name.clone(), value.shown()));
    }
    found.report.note(
        Changed,
        "command",
        told(words),
        "The shell is left out; its words are taken.",
    );
    Ok(Some(line.words.iter().map(Word::shown).collect()))
}
