use proptest::prelude::*;
use serde_json::json;

use super::*;

fn one(value: &Value) -> Imported {
    let mut found = read(&value.to_string()).expect("it is read");
    assert_eq!(found.len(), 1);
    found.remove(0)
}

fn lines_of(conversation: &Imported) -> Vec<(Option<usize>, Role, &str)> {
    let messages = conversation.messages.iter();
    messages
        .map(|m| (m.parent, m.role, m.text.as_str()))
        .collect()
}

const Q: Role = Role::User;
const A: Role = Role::Assistant;

#[test]
fn an_export_of_chatgpt_is_read_with_its_branches() {
    let said = |role: &str, words: &str| json!({"author": {"role": role}, "create_time": 1_700_000_000.5, "content": {"content_type": "text", "parts": [words]}});
    let file = json!([{
        "title": "Ports", "create_time": 1_700_000_000, "update_time": 1_700_000_100.25, "current_node": "d",
        "mapping": {
            "d": {"id": "d", "parent": "b", "message": said("assistant", "By ss.")},
            "root": {"id": "root", "parent": null, "message": null},
            "s": {"id": "s", "parent": "root", "message": said("system", "")},
            "b": {"id": "b", "parent": "s", "message": said("user", "Who holds a port?")},
            "c": {"id": "c", "parent": "b", "message": said("assistant", "By lsof.")},
            "t": {"id": "t", "parent": "c", "message": said("tool", "output")},
            "p": {"id": "p", "parent": "t", "message": {"author": {"role": "user"}, "content": {"content_type": "multimodal_text", "parts": [{"asset_pointer": "file"}, "And this?"]}}},
        },
    }]);
    let read = one(&file);
    assert_eq!(read.title, "Ports");
    assert_eq!(read.at, Some(1_700_000_100_250));
    let expected = [
        (None, Q, "Who holds a port?"),
        (Some(0), A, "By ss."),
        (Some(0), A, "By lsof."),
        (Some(2), Q, "And this?"),
    ];
    assert_eq!(lines_of(&read), expected);
    assert_eq!((read.shown, read.left_out), (Some(1), 1));
}

#[test]
fn an_export_of_open_webui_is_read_with_its_reasoning() {
    let file = json!([{
        "id": "x", "title": "Boats", "updated_at": 1_700_000_000,
        "chat": {"title": "Boats", "history": {"currentId": "2", "messages": {
            "1": {"id": "1", "parentId": null, "role": "user", "content": "What floats?", "timestamp": 1_700_000_000, "files": [{"type": "image"}]},
            "2": {"id": "2", "parentId": "1", "role": "assistant", "content": "<details type=\"reasoning\" done=\"true\" duration=\"3\">\n<summary>Thought for 3 seconds</summary>\n> Wood.\n> Cork.\n</details>\nWood does."},
        }}},
    }]);
    let read = one(&file);
    assert_eq!(
        lines_of(&read),
        [(None, Q, "What floats?"), (Some(0), A, "Wood does.")]
    );
    assert_eq!(read.messages[1].reasoning, "Wood.\nCork.");
    assert_eq!((read.shown, read.left_out), (Some(1), 1));
    let plain = json!({"chat": {"title": "T", "messages": [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
    ]}});
    assert_eq!(lines_of(&one(&plain)), [(None, Q, "a"), (Some(0), A, "b")]);
}

#[test]
fn an_export_of_lm_studio_is_read_with_its_versions() {
    let text = |words: &str| json!([{"type": "text", "text": words}]);
    let file = json!({
        "name": "Knots", "createdAt": 1_700_000_000_000_i64,
        "messages": [
            {"versions": [{"type": "singleStep", "role": "user", "content": [{"type": "text", "text": "Which knot?"}, {"type": "file", "fileIdentifier": "a"}]}], "currentlySelected": 0},
            {"currentlySelected": 1, "versions": [
                {"type": "multiStep", "role": "assistant", "steps": [{"type": "contentBlock", "content": text("A bowline.")}]},
                {"type": "multiStep", "role": "assistant", "steps": [
                    {"type": "contentBlock", "style": {"type": "thinking"}, "content": text("Hm.")},
                    {"type": "contentBlock", "content": text("A reef knot.")},
                    {"type": "debugInfoBlock", "debugInfo": "x"},
                ]},
            ]},
            {"versions": [{"type": "singleStep", "role": "user", "content": text("Thanks.")}], "currentlySelected": 0},
        ],
    });
    let read = one(&file);
    let expected = [
        (None, Q, "Which knot?"),
        (Some(0), A, "A bowline."),
        (Some(0), A, "A reef knot."),
        (Some(2), Q, "Thanks."),
    ];
    assert_eq!(lines_of(&read), expected);
    assert_eq!(read.messages[2].reasoning, "Hm.");
    assert_eq!((read.shown, read.left_out), (Some(3), 1));
    assert_eq!(read.at, Some(1_700_000_000_000));
}

#[test]
fn messages_of_the_api_are_read_alone_in_lists_and_by_lines() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url", "image_url": {"url": "data:"}}]},
        {"role": "assistant", "content": "Hello", "reasoning_content": "hm"},
        {"role": "tool", "content": "x"},
    ]);
    let expected = [
        (None, Role::System, "Be brief."),
        (Some(0), Q, "Hi"),
        (Some(1), A, "Hello"),
    ];
    for file in [
        messages.clone(),
        json!({"messages": messages}),
        json!([{"messages": messages}]),
    ] {
        let read = one(&file);
        assert_eq!(lines_of(&read), expected);
        assert_eq!((read.left_out, read.shown), (1, Some(2)));
        assert_eq!(read.messages[2].reasoning, "hm");
    }
    let line = json!({"messages": messages}).to_string();
    let read = read(&format!("\u{feff}{line}\n{line}\n\n")).expect("lines");
    assert_eq!(read.len(), 2);
}

#[test]
fn what_is_no_conversation_says_what_it_is_instead() {
    for (text, expected) in [
        ("PK\u{3}\u{4}", "no JSON"),
        ("{}", "nothing in the file"),
        ("[]", "nothing in the file"),
        ("7", "nothing in the file"),
        (r#"{"messages":[]}"#, "nothing in the file"),
        (
            r#"{"format":"tandem-conversation","version":9}"#,
            "newer Tandem",
        ),
    ] {
        let error = read(text).expect_err(text);
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.problem().fix.is_some());
    }
}

#[test]
fn parents_in_a_circle_and_missing_ones_lose_no_other_message() {
    let said = |id: &str, parent: Option<&str>| json!({"id": id, "parentId": parent, "role": "user", "content": id});
    let file = json!({"chat": {"history": {"currentId": "gone", "messages": {
        "a": said("a", None),
        "b": said("b", Some("gone")),
        "c": said("c", Some("d")),
        "d": said("d", Some("c")),
    }}}});
    let read = one(&file);
    assert_eq!(lines_of(&read), [(None, Q, "a"), (None, Q, "b")]);
    assert_eq!(read.shown, None);
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in any::<String>()) {
        let _ = read(&text);
    }
}
