//! From a kept conversation to the request that goes to the model.

use crate::chat::controls::{LEVEL_OFF, LevelsOfReasoning};
use crate::chat::{ChatRequest, Controls, Message, PromptMessage, Role, ToolCall, budget};

/// How many images go with a request at most, the latest ones.
///
/// Every image is sent again with every question, since the server keeps nothing. One of 1568 px
/// takes up to about 1,500 tokens and a megabyte of the request.
pub const MAX_IMAGES: usize = 8;

/// Seconds of silence after which an answer is given up. A long prompt is read before the first word.
const PATIENCE_S: u64 = 180;

/// The longest title, in characters.
const TITLE: usize = 48;

/// Says which kept images the next request carries, so that only those are loaded.
pub fn wanted_images(conversation: &[Message]) -> Vec<String> {
    let mut wanted: Vec<_> = conversation
        .iter()
        .rev()
        .flat_map(|m| m.images.iter().rev())
        .take(MAX_IMAGES)
        .cloned()
        .collect();
    wanted.reverse();
    wanted
}

/// Makes the request for the answer to the last message, or for more of it where it is an answer itself.
///
/// `data_url` gives a kept image as a `data:` URL. Images beyond [`MAX_IMAGES`], or no longer kept,
/// are replaced by a note, so that the model does not speak of what it cannot see. Earlier reasoning
/// is not sent back; that is how the model was trained. Tool calls are sent as text, since nothing answered them. How the
/// model is told how much to think is known by `reasoning`, the recipe's word on it.
pub fn request(
    model: &str,
    conversation: &[Message],
    controls: &Controls,
    reasoning: Option<&LevelsOfReasoning>,
    data_url: impl Fn(&str) -> Option<String>,
) -> ChatRequest {
    // Counted from the end, as an image may be in a conversation twice.
    let total: usize = conversation.iter().map(|m| m.images.len()).sum();
    let mut position = 0;
    let said = conversation.iter().filter_map(|message| {
        let mut text = message.text.clone();
        message
            .calls
            .iter()
            .for_each(|call| add_call(&mut text, call));
        let mut images = Vec::new();
        for id in &message.images {
            position += 1;
            let sent = (position + MAX_IMAGES > total)
                .then(|| data_url(id))
                .flatten();
            match sent {
                Some(url) => images.push(url),
                None => {
                    if !text.is_empty() {
                        text.push_str("\n\n");
                    }
                    text.push_str("(An image that was sent here is left out.)");
                }
            }
        }
        let silent = text.trim().is_empty() && images.is_empty();
        (!silent).then_some(PromptMessage {
            role: message.role,
            text,
            images,
        })
    });
    let system = (!controls.system.trim().is_empty()).then(|| PromptMessage {
        role: Role::System,
        text: controls.system.clone(),
        images: Vec::new(),
    });
    let messages = system.into_iter().chain(said).collect();
    let level = controls.level.as_deref().filter(|level| {
        let known = |r: &LevelsOfReasoning| r.levels.iter().any(|l| l == level);
        *level == LEVEL_OFF || reasoning.is_some_and(known)
    });
    let continues = conversation
        .last()
        .is_some_and(|m| m.role == Role::Assistant);
    ChatRequest {
        model: model.to_owned(),
        messages,
        max_tokens: controls.max_tokens.unwrap_or(budget::MAX_TOKENS),
        sampling: controls.sampling.clone(),
        format: controls.format.clone(),
        // Without a wish the template decides; with thinking off it is asked not to. An answer that goes on has
        // thought already.
        thinking: (continues || level == Some(LEVEL_OFF)).then_some(false),
        switch: reasoning.and_then(|r| r.switch.clone()),
        level: level
            .filter(|level| *level != LEVEL_OFF && !continues)
            .map(str::to_owned),
        continues,
        ignore_eos: false,
        patience_s: PATIENCE_S,
    }
}

fn add_call(text: &mut String, call: &ToolCall) {
    if !text.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(&format!("(Called {}: {})", call.name, call.arguments));
}

/// Names a conversation after the first words of its first question.
pub fn title(conversation: &[Message]) -> String {
    let Some(first) = conversation.iter().find(|m| m.role == Role::User) else {
        return "New conversation".to_owned();
    };
    let words = first.text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.is_empty() {
        let image = if first.images.is_empty() {
            "New conversation"
        } else {
            "An image"
        };
        return image.to_owned();
    }
    if words.chars().count() <= TITLE {
        return words;
    }
    let cut: String = words.chars().take(TITLE).collect();
    // A word is not cut in two, unless it is a single long one.
    let whole = cut
        .rfind(' ')
        .filter(|at| *at > 0)
        .map_or(cut.as_str(), |at| &cut[..at]);
    format!(
        "{}…",
        whole.trim_end_matches([',', ';', ':', '.', '-', '–'])
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(role: Role, text: &str, images: &[&str]) -> Message {
        Message {
            reasoning: "a thought".to_owned(),
            images: images.iter().map(|s| (*s).to_owned()).collect(),
            ..Message::new("", role, text, 0)
        }
    }

    fn off() -> Controls {
        Controls {
            level: Some(LEVEL_OFF.into()),
            ..Controls::default()
        }
    }

    fn asked(conversation: &[Message], controls: &Controls) -> ChatRequest {
        request("m", conversation, controls, None, url)
    }

    fn url(id: &str) -> Option<String> {
        Some(format!("data:image/png;base64,{id}"))
    }

    #[test]
    fn a_question_with_an_image_goes_out_with_both() {
        let conversation = [
            message(Role::User, "What is this?", &["a"]),
            message(Role::Assistant, "A cable.", &[]),
            message(Role::User, "Which one?", &[]),
        ];
        let sent = asked(&conversation, &off());
        assert_eq!(sent.messages.len(), 3);
        assert_eq!(sent.messages[0].images, ["data:image/png;base64,a"]);
        assert!(
            sent.messages.iter().all(|m| !m.text.contains("thought")),
            "reasoning stays here"
        );
        assert_eq!(sent.thinking, Some(false));
    }

    #[test]
    fn an_answer_that_goes_on_is_the_last_message_and_thinks_no_more() {
        let conversation = [
            message(Role::User, "Count.", &[]),
            message(Role::Assistant, "One, ", &[]),
        ];
        let on = asked(&conversation, &Controls::default());
        assert!(on.continues);
        assert_eq!(on.thinking, Some(false));
        assert_eq!(on.messages[1].text, "One, ", "not a letter less");
        let new = asked(&conversation[..1], &Controls::default());
        assert_eq!((new.continues, new.thinking), (false, None));
        assert_eq!(new.max_tokens, budget::MAX_TOKENS);
        let more = Controls {
            max_tokens: Some(20_000),
            ..Controls::default()
        };
        assert_eq!(asked(&conversation, &more).max_tokens, 20_000);
    }

    #[test]
    fn a_level_is_sent_where_the_recipe_has_it() {
        let conversation = [message(Role::User, "Hello", &[])];
        let recipe = LevelsOfReasoning {
            switch: Some("thinking".into()),
            levels: vec!["low".into(), "high".into()],
        };
        let level = |level: &str| {
            let controls = Controls {
                level: Some(level.into()),
                ..Controls::default()
            };
            let sent = request("m", &conversation, &controls, Some(&recipe), url);
            assert_eq!(sent.switch.as_deref(), Some("thinking"));
            (sent.thinking, sent.level)
        };
        assert_eq!(level("low"), (None, Some("low".into())));
        assert_eq!(level(LEVEL_OFF), (Some(false), None));
        assert_eq!(level("another model's"), (None, None));
    }

    #[test]
    fn the_system_prompt_comes_first_and_tool_calls_go_back_as_text() {
        let conversation = [
            message(Role::User, "Look it up.", &[]),
            Message {
                calls: vec![ToolCall {
                    name: "find".into(),
                    arguments: "{}".into(),
                }],
                ..message(Role::Assistant, "", &[])
            },
            message(Role::User, "And?", &[]),
        ];
        let controls = Controls {
            system: "Be brief.".into(),
            ..Controls::default()
        };
        let sent = asked(&conversation, &controls).messages;
        let texts: Vec<_> = sent.iter().map(|m| (m.role, m.text.as_str())).collect();
        let expected = [
            (Role::System, "Be brief."),
            (Role::User, "Look it up."),
            (Role::Assistant, "(Called find: {})"),
            (Role::User, "And?"),
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn an_answer_of_which_nothing_came_is_not_sent() {
        let conversation = [
            message(Role::User, "Hello?", &[]),
            message(Role::Assistant, "", &[]),
            message(Role::User, "Hello!", &[]),
        ];
        let texts: Vec<_> = asked(&conversation, &Controls::default())
            .messages
            .into_iter()
            .map(|m| m.text)
            .collect();
        assert_eq!(texts, ["Hello?", "Hello!"]);
    }

    #[test]
    fn the_oldest_images_give_way_and_the_model_is_told() {
        let ids: Vec<String> = (0..MAX_IMAGES + 2).map(|n| format!("i{n}")).collect();
        let conversation: Vec<_> = ids
            .iter()
            .map(|id| message(Role::User, "look", &[id]))
            .collect();
        let sent = asked(&conversation, &Controls::default());
        assert!(sent.messages[0].images.is_empty());
        assert!(sent.messages[1].text.contains("left out"));
        assert_eq!(sent.messages[2].images.len(), 1);
        assert_eq!(wanted_images(&conversation), ids[2..]);
    }

    #[test]
    fn an_image_that_is_gone_is_noted() {
        let conversation = [message(Role::User, "", &["gone"])];
        let sent = request("m", &conversation, &Controls::default(), None, |_| None);
        assert_eq!(
            sent.messages[0].text,
            "(An image that was sent here is left out.)"
        );
    }

    #[test]
    fn titles_are_the_first_words() {
        let check = |text: &str, images: &[&str], expected: &str| {
            assert_eq!(title(&[message(Role::User, text, images)]), expected);
        };
        check("  Hello\n there ", &[], "Hello there");
        check("", &["a"], "An image");
        check("", &[], "New conversation");
        check(
            "Why does the second Spark start later than the first one does?",
            &[],
            "Why does the second Spark start later than the…",
        );
        assert_eq!(title(&[]), "New conversation");
    }

    proptest! {
        #[test]
        fn a_title_is_short_one_line_and_never_empty(text in any::<String>()) {
            let title = title(&[message(Role::User, &text, &[])]);
            prop_assert!(!title.is_empty());
            prop_assert!(title.chars().count() <= TITLE + 1);
            prop_assert!(!title.contains('\n'));
        }

        #[test]
        fn no_more_images_go_out_than_allowed(counts in prop::collection::vec(0usize..5, 0..12)) {
            let mut n = 0;
            let conversation: Vec<_> = counts.iter().map(|count| {
                let mut m = message(Role::User, "x", &[]);
                m.images = (0..*count).map(|_| { n += 1; format!("i{n}") }).collect();
                m
            }).collect();
            let sent: Vec<_> = request("m", &conversation, &Controls::default(), None, |id| Some(id.to_owned()))
                .messages.into_iter().flat_map(|m| m.images).collect();
            prop_assert!(sent.len() <= MAX_IMAGES);
            prop_assert_eq!(sent, wanted_images(&conversation));
        }
    }
}
