//! Patterns of names, as shells, Python's `fnmatch` and OpenSSH have them.

use glob::Pattern;

/// Whether a pattern fits a name as `fnmatch` has it: `*` is any text, `/` included, `?` any one character, `[…]` one of
/// several. Case counts. `**` is nothing special, and a bracket that does not close stands for itself.
pub fn fnmatch(pattern: &str, name: &str) -> bool {
    // To `glob`, two stars are a pattern of their own.
    let mut text = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        if c != '*' || !text.ends_with('*') {
            text.push(c);
        }
    }
    let read = Pattern::new(&text).or_else(|_| Pattern::new(&text.replace('[', "[[]")));
    read.is_ok_and(|pattern| pattern.matches(name))
}

/// The same with `*` and `?` alone, as `ssh_config(5)` has it.
pub fn wildcard(pattern: &str, name: &str) -> bool {
    fnmatch(&pattern.replace('[', "[[]"), name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_a_pattern_to_the_one_and_a_letter_to_the_other() {
        assert!(fnmatch("enp[12]s0f?np1", "enp1s0f1np1"));
        assert!(!fnmatch("enp[12]s0f?np1", "enp3s0f1np1"));
        assert!(wildcard("fe80::1%[a]*", "fe80::1%[a]b"));
        assert!(!wildcard("[ab]", "a"));
        assert!(fnmatch("[a", "[a"), "it does not close");
        assert!(fnmatch("a***b", "a/b"));
        assert!(!wildcard("?", "") && wildcard("*", ""));
    }

    #[test]
    fn many_stars_take_no_time() {
        let stars = "*a".repeat(200);
        assert!(!fnmatch(&stars, &"a".repeat(150)));
        assert!(!fnmatch(&format!("{stars}b"), &"a".repeat(400)));
    }
}
