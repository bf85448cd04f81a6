//! Words as a shell takes them: what is shown can be pasted, and what is sent arrives as it is.

/// Quotes one word so that every shell in use takes it literally: POSIX shells, zsh and fish.
/// Inside single quotes fish knows escapes, so quotes and backslashes stand outside of them.
pub fn quote(word: &str) -> String {
    // At the beginning of a line `a=b` sets a variable; after a dash it is an option.
    let option = word.starts_with('-');
    let plain =
        |b: u8| b.is_ascii_alphanumeric() || b"_-./:,+@%".contains(&b) || (option && b == b'=');
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len() + 8);
    out.push('\'');
    for c in word.chars() {
        match c {
            '\'' => out.push_str("'\"'\"'"),
            '\\' => out.push_str("'\"\\\\\"'"),
            _ => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// Several words as one would type them.
pub fn as_words<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|w| quote(w.as_ref())).collect();
    quoted.join(" ")
}

/// The command that gives a path to the user who types it.
pub fn own(path: &str) -> String {
    format!("sudo chown -R \"$USER\": {}", quote(path))
}

#[cfg(test)]
mod tests {
    use super::{as_words, quote};

    #[test]
    fn only_what_a_shell_would_change_is_quoted() {
        assert_eq!(
            as_words(["vllm", "serve", "--port=8000"]),
            "vllm serve --port=8000"
        );
        assert_eq!(as_words(["", "a b", "$HOME"]), "'' 'a b' '$HOME'");
        assert_eq!(quote("it's"), r#"'it'"'"'s'"#);
        assert_eq!(quote("{\"a\": 1}"), "'{\"a\": 1}'");
    }
}
