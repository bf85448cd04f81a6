//! What a refusal says of the window.

/// Tokens of the window and of the prompt, from a refusal that tells both: its words differ from release to release.
pub(super) fn window(message: &str) -> Option<(u32, u32)> {
    let (_, after) = message.split_once("maximum context length is ")?;
    let window = leading_number(after)?;
    let (before, _) = after.split_once(" input tokens")?;
    let prompt = before.rsplit([' ', '(']).next()?.parse().ok()?;
    Some((window, prompt))
}

fn leading_number(text: &str) -> Option<u32> {
    let digits = text.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::window;

    #[test]
    fn both_numbers_are_read_or_none() {
        for (message, expected) in [
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 9000. This model's maximum context length is 4096 tokens and your request has 31 input tokens (9000 > 4096 - 31).",
                Some((4096, 31)),
            ),
            (
                "This model's maximum context length is 4096 tokens. However, you requested 4090 output tokens and your prompt contains at least 12 input tokens, for a total of at least 4102 tokens. Please reduce the length of the input prompt or the number of requested output tokens.",
                Some((4096, 12)),
            ),
            ("This model's maximum context length is 4096 tokens.", None),
            ("messages: Field required", None),
        ] {
            assert_eq!(window(message), expected, "{message}");
        }
    }
}
