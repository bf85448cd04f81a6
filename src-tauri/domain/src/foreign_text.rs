//! Text that somebody else wrote, made fit to be shown beside words of Tandem's.

/// The text on one line, with every character that is not seen, or that turns the text around, as its number, cut after
/// so many bytes; three dots stand for the rest.
pub fn visible(text: &str, most: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let from = out.len();
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if is_unseen(c) => out.push_str(&format!("⟨U+{:04X}⟩", c as u32)),
            c => out.push(c),
        }
        if out.len() > most {
            out.truncate(from);
            out.push('…');
            break;
        }
    }
    out
}

/// Whether a character draws nothing, or changes how others are drawn.
pub fn is_unseen(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn nothing_is_hidden_and_nothing_is_endless() {
        assert_eq!(
            visible("one\ntwo\u{202e}\u{e0041}é", 100),
            "one two⟨U+202E⟩⟨U+E0041⟩é"
        );
        assert_eq!(visible("éé", 3), "é…");
        assert_eq!(visible("", 3), "");
        assert_eq!(visible(&"\u{200b}".repeat(100), 20), "⟨U+200B⟩…");
    }
}
