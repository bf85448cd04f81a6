use super::*;

fn shown(text: &str) -> Vec<Vec<String>> {
    let commands = split(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    let words = |c: &CommandWords| c.words.iter().map(Word::shown).collect();
    commands.iter().map(words).collect()
}

#[test]
fn words_are_split_as_a_shell_splits_them() {
    assert_eq!(
        shown("A=1 run 'a b' \"c\\\"d\" e\\ f '' # note\n\nnext --x={\"a\":1}"),
        vec![
            vec!["A=1", "run", "a b", "c\"d", "e f", ""],
            vec!["next", "--x={a:1}"]
        ]
    );
    assert_eq!(
        shown("a \\\n  b \\  \n c \\\r\n d\\"),
        [["a", "b", "c", "d"]]
    );
    assert_eq!(
        shown("a#b $X \"${Y}z\" {port}"),
        [["a#b", "${X}", "${Y}z", "{port}"]]
    );
    assert_eq!(
        shown("--a <head-ip> <x>:1"),
        [["--a", "${head-ip}", "${x}:1"]]
    );
    assert_eq!(shown("--j '{\"a\":[1,2]}'"), [["--j", "{\"a\":[1,2]}"]]);
    assert!(shown(" \n# only a comment\n").is_empty());
}

#[test]
fn whatever_a_shell_would_do_beyond_that_is_refused() {
    for text in [
        "a $(id)",
        "a `id`",
        "a \"$(id)\"",
        "a \"`id`\"",
        "a; b",
        "a && b",
        "a & b",
        "a | b",
        "a > f",
        "a < f",
        "a <f",
        "a <in>out",
        "a 2>f",
        "a <<E",
        "(a)",
        "a ${X:-y}",
        "a ${!X}",
        "a $1",
        "a $$",
        "a $'x'",
        "a $((1+1))",
        "a 'b\nc'",
        "a \"b\nc\"",
        "a 'b",
        "a \"b",
        "a {b,c}",
        "a \u{202e}b",
        "a \u{0}b",
        "a “b”",
        "a\u{a0}b",
        "a \"\\\u{200b}\"",
    ] {
        assert!(split(text).is_err(), "{text:?}");
    }
    let told = split("a \\\n b\nc; d").unwrap_err();
    assert_eq!(
        (told.line, told.why.as_str()),
        (3, "`;` begins another command.")
    );
    assert!(split(&"a ".repeat(200_000)).is_err());
}

proptest::proptest! {
    #[test]
    fn what_our_own_quoting_wrote_comes_back_word_for_word(
        words in proptest::collection::vec("[ -~éß猫]{0,12}", 1..8)
    ) {
        let text = crate::shell::as_words(&words);
        let commands = split(&text);
        let back: Vec<String> = commands.expect("it can be split").remove(0).words.iter().map(Word::shown).collect();
        proptest::prop_assert_eq!(back, words);
    }
}
