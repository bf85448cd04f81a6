//! Conversations on a real file: the tree of messages, what is deleted and brought back, the search.

use tandem_domain::chat::search::{FoundMessage, query};
use tandem_domain::chat::{AnswerStats, Controls, ConversationChange, Message, Role, ToolCall};
use tandem_domain::ids::ConversationId;

use super::*;

pub(super) fn message(id: &str, role: Role, images: &[&str]) -> Message {
    Message {
        images: images.iter().map(|s| (*s).to_owned()).collect(),
        ..Message::new(id, role, format!("text of {id}"), 30)
    }
}

fn picture(id: &str) -> StoredImage {
    StoredImage {
        id: id.into(),
        mime: "image/png".to_owned(),
        width: 3,
        height: 2,
        bytes: vec![0, 1, 255, 0],
    }
}

#[tokio::test]
async fn conversations_keep_their_messages_and_images() {
    let (_folder, store) = store().await;
    store
        .create_conversation(&"c1".into(), "100 % of it", 10)
        .await
        .unwrap();
    store
        .create_conversation(&"c2".into(), "Cables", 20)
        .await
        .unwrap();
    for id in ["i1", "i2", "picked"] {
        store.put_image(&picture(id)).await.unwrap();
    }
    let question = message("m1", Role::User, &["i2", "i1"]);
    store.append_message(&"c1".into(), &question).await.unwrap();
    let mut answer = message("m2", Role::Assistant, &[]);
    store.append_message(&"c1".into(), &answer).await.unwrap();
    answer.text = "A cable.".to_owned();
    answer.reasoning = "It is long and thin.".to_owned();
    answer.stats = Some(AnswerStats {
        ttft_s: 0.2,
        tokens_per_s: 27.5,
        completion_tokens: Some(12),
        prompt_tokens: None,
        cached_tokens: Some(4),
        thought_s: Some(1.5),
        finish: "stop".to_owned(),
    });
    assert!(store.update_message(&answer).await.unwrap());
    assert!(
        !store
            .update_message(&message("none", Role::User, &[]))
            .await
            .unwrap()
    );
    answer.parent = Some("m1".to_owned());
    assert_eq!(
        store.messages(&"c1".into(), None, 9).await.unwrap(),
        [question, answer]
    );
    assert_eq!(store.messages(&"none".into(), None, 9).await.unwrap(), []);

    let titles = |list: Vec<tandem_domain::chat::ConversationSummary>| -> Vec<String> {
        list.into_iter().map(|c| c.title).collect()
    };
    assert_eq!(
        titles(store.conversations().await.unwrap()),
        ["100 % of it", "Cables"],
        "the last message moved it to the top"
    );
    let change = ConversationChange {
        title: Some("Wires".to_owned()),
        pinned: Some(true),
        ..ConversationChange::default()
    };
    let changed = store.change_conversation(&"c2".into(), &change).await;
    assert!(changed.unwrap());
    assert_eq!(
        titles(store.conversations().await.unwrap()),
        ["Wires", "100 % of it"],
        "what is pinned stands first"
    );

    // The other conversation shows one of the images too.
    store
        .append_message(&"c2".into(), &message("m3", Role::User, &["i1"]))
        .await
        .unwrap();
    assert!(store.delete_conversation(&"c1".into(), 50).await.unwrap());
    assert!(!store.delete_conversation(&"c1".into(), 51).await.unwrap());
    assert_eq!(titles(store.conversations().await.unwrap()), ["Wires"]);
    assert!(store.restore_conversation(&"c1".into()).await.unwrap());
    store.purge_deleted(99).await.unwrap();
    assert_eq!(
        store.messages(&"c1".into(), None, 9).await.unwrap().len(),
        2
    );
    store.delete_conversation(&"c1".into(), 50).await.unwrap();
    store.purge_deleted(49).await.unwrap();
    assert!(store.image("i2").await.unwrap().is_some(), "not yet");
    store.purge_deleted(50).await.unwrap();
    assert!(!store.restore_conversation(&"c1".into()).await.unwrap());
    assert_eq!(store.messages(&"c1".into(), None, 9).await.unwrap(), []);
    assert_eq!(
        store.image("i2").await.unwrap(),
        None,
        "nobody shows it any more"
    );
    assert_eq!(store.image("i1").await.unwrap(), Some(picture("i1")));
    assert!(
        store.image("picked").await.unwrap().is_some(),
        "picked and not sent yet"
    );
}

fn c() -> ConversationId {
    "c".into()
}

/// A conversation of questions and answers in turn: `m1` to this number.
#[tokio::test]
async fn controls_and_tool_calls_are_kept_with_their_conversation() {
    let (_folder, store) = store().await;
    let id: ConversationId = "c".into();
    store.create_conversation(&id, "t", 1).await.unwrap();
    assert_eq!(store.controls(&id).await.unwrap(), None);
    let mut controls = Controls {
        level: Some("low".into()),
        ..Controls::default()
    };
    controls.sampling.temperature = Some(0.5);
    assert!(store.put_controls(&id, &controls).await.unwrap());
    assert_eq!(store.controls(&id).await.unwrap(), Some(controls.clone()));
    assert!(!store.put_controls(&"none".into(), &controls).await.unwrap());

    let mut answer = message("a", Role::Assistant, &[]);
    store.append_message(&id, &answer).await.unwrap();
    assert!(store.message("a").await.unwrap().unwrap().calls.is_empty());
    answer.calls = vec![ToolCall {
        name: "find".into(),
        arguments: "{".into(),
    }];
    assert!(store.update_message(&answer).await.unwrap());
    assert_eq!(
        store.message("a").await.unwrap().unwrap().calls,
        answer.calls
    );
}

#[tokio::test]
async fn an_imported_conversation_shows_what_was_shown_and_keeps_its_versions() {
    let (_folder, store) = store().await;
    let id: ConversationId = "i".into();
    let said = |id: &str, role, parent: Option<&str>| Message {
        parent: parent.map(str::to_owned),
        ..message(id, role, &[])
    };
    let messages = [
        said("q", Role::User, None),
        said("a1", Role::Assistant, Some("q")),
        said("more", Role::User, Some("a1")),
        said("a2", Role::Assistant, Some("q")),
    ];
    let kept = store.import_conversation(&id, "Title", 5, &messages, Some("a1"));
    kept.await.unwrap();
    let shown = store.messages(&id, None, 9).await.unwrap();
    let ids: Vec<_> = shown.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(ids, ["q", "a1", "more"]);
    assert_eq!(shown[1].versions, ["a1", "a2"]);
    let all = store.all_messages(&id).await.unwrap();
    assert_eq!(all.len(), 4);
    assert_eq!(store.conversations().await.unwrap()[0].title, "Title");
}

async fn talked(store: &Store, count: usize) {
    store.create_conversation(&c(), "talk", 1).await.unwrap();
    for n in 1..=count {
        let role = if n % 2 == 1 {
            Role::User
        } else {
            Role::Assistant
        };
        let said = message(&format!("m{n}"), role, &[]);
        store.append_message(&c(), &said).await.unwrap();
    }
}

async fn branch(store: &Store, id: &str, after: Option<&str>) {
    let said = Message {
        parent: after.map(ToOwned::to_owned),
        ..message(id, Role::Assistant, &[])
    };
    store.branch_message(&c(), &said).await.unwrap();
}

async fn shown(store: &Store) -> Vec<String> {
    let messages = store.messages(&c(), None, 99).await.unwrap();
    messages.into_iter().map(|m| m.id).collect()
}

#[tokio::test]
async fn a_version_takes_the_place_of_another_and_each_keeps_what_follows_it() {
    let (_folder, store) = store().await;
    talked(&store, 4).await;
    branch(&store, "m2b", Some("m1")).await;
    assert_eq!(shown(&store).await, ["m1", "m2b"]);
    store
        .append_message(&c(), &message("m5", Role::User, &[]))
        .await
        .unwrap();
    assert_eq!(shown(&store).await, ["m1", "m2b", "m5"]);
    let second = store.message("m2b").await.unwrap().unwrap();
    assert_eq!(second.versions, ["m2", "m2b"]);
    assert_eq!(second.parent.as_deref(), Some("m1"));

    assert!(store.show_message("m2").await.unwrap());
    assert_eq!(shown(&store).await, ["m1", "m2", "m3", "m4"]);
    assert!(store.show_message("m2b").await.unwrap());
    assert_eq!(shown(&store).await, ["m1", "m2b", "m5"]);
    assert!(!store.show_message("none").await.unwrap());

    // The first question too, and one deeper: what was chosen there is remembered.
    branch(&store, "m5b", Some("m2b")).await;
    store.show_message("m5").await.unwrap();
    branch(&store, "m1b", None).await;
    assert_eq!(shown(&store).await, ["m1b"]);
    store.show_message("m1").await.unwrap();
    assert_eq!(shown(&store).await, ["m1", "m2b", "m5"]);
    let path = store.path_to("m4").await.unwrap();
    let ids: Vec<_> = path.iter().map(|m| m.id.as_str()).collect();
    assert_eq!(ids, ["m1", "m2", "m3", "m4"], "shown or not");
}

#[tokio::test]
async fn an_answer_to_a_question_that_is_not_shown_any_more_changes_nothing_on_the_screen() {
    let (_folder, store) = store().await;
    talked(&store, 2).await;
    branch(&store, "m1b", None).await;
    branch(&store, "m2b", Some("m1")).await;
    assert_eq!(shown(&store).await, ["m1b"]);
    store.show_message("m1").await.unwrap();
    assert_eq!(shown(&store).await, ["m1", "m2b"], "it is the newest there");
}

#[tokio::test]
async fn what_is_deleted_goes_with_all_that_follows_and_comes_back_with_it() {
    let (_folder, store) = store().await;
    talked(&store, 4).await;
    branch(&store, "m2b", Some("m1")).await;
    store.show_message("m2").await.unwrap();
    assert!(store.delete_message("m2", 7).await.unwrap());
    assert!(!store.delete_message("m2", 8).await.unwrap());
    assert_eq!(shown(&store).await, ["m1", "m2b"], "the other version");
    let left = store.message("m2b").await.unwrap().unwrap();
    assert_eq!(left.versions, ["m2b"]);
    assert!(store.restore_message("m2").await.unwrap());
    assert_eq!(shown(&store).await, ["m1", "m2", "m3", "m4"]);

    store.delete_message("m4", 9).await.unwrap();
    store.delete_message("m3", 10).await.unwrap();
    assert!(store.restore_message("m3").await.unwrap());
    assert_eq!(
        shown(&store).await,
        ["m1", "m2", "m3"],
        "what was deleted before it stays deleted"
    );
    // An answer may still come to what was deleted; then it goes too.
    store.delete_message("m3", 11).await.unwrap();
    branch(&store, "late", Some("m3")).await;
    assert_eq!(shown(&store).await, ["m1", "m2"]);
    store.purge_deleted(11).await.unwrap();
    assert!(!store.restore_message("m3").await.unwrap());
    assert_eq!(store.message("late").await.unwrap(), None);
    store.delete_message("m1", 12).await.unwrap();
    assert!(shown(&store).await.is_empty());
    store
        .append_message(&c(), &message("m9", Role::User, &[]))
        .await
        .unwrap();
    assert_eq!(shown(&store).await, ["m9"]);
}

#[tokio::test]
async fn a_long_conversation_is_read_in_pages_and_deleted_as_a_whole() {
    let (_folder, store) = store().await;
    talked(&store, 1500).await;
    let last = store.messages(&c(), None, 3).await.unwrap();
    let ids = |page: &[Message]| page.iter().map(|m| m.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&last), ["m1498", "m1499", "m1500"]);
    let before = store.messages(&c(), Some("m1498"), 2).await.unwrap();
    assert_eq!(ids(&before), ["m1496", "m1497"]);
    assert!(
        store
            .messages(&c(), Some("m1"), 2)
            .await
            .unwrap()
            .is_empty()
    );
    store.delete_message("m2", 5).await.unwrap();
    store.delete_conversation(&c(), 5).await.unwrap();
    store.purge_deleted(5).await.unwrap();
    assert_eq!(store.message("m1").await.unwrap(), None);
}

#[tokio::test]
async fn a_conversation_of_the_time_before_versions_reads_as_it_was() {
    let (folder, store) = store().await;
    talked(&store, 3).await;
    store
        .create_conversation(&"other".into(), "other", 1)
        .await
        .unwrap();
    store
        .append_message(&"other".into(), &message("o1", Role::User, &[]))
        .await
        .unwrap();
    // The tables as they were, with the same rows in them.
    for back in [
        "drop trigger message_search_insert",
        "drop trigger message_search_update",
        "drop trigger message_search_delete",
        "drop table message_search",
        "drop index message_by_parent",
        "alter table message drop column parent_id",
        "alter table message drop column shown",
        "alter table message drop column on_path",
        "alter table message drop column deleted_at",
        "alter table conversation drop column pinned",
        "alter table conversation drop column archived",
        "alter table conversation drop column deleted_at",
        "delete from _sqlx_migrations where version in (20261127120000, 20261127120100)",
    ] {
        sqlx::query(back).execute(&store.writer).await.unwrap();
    }
    store.close().await;
    let store = Store::open(folder.path().join("data/tandem.db"))
        .await
        .expect("it is brought up to date");
    assert_eq!(shown(&store).await, ["m1", "m2", "m3"]);
    let parents: Vec<_> = store.path_to("m3").await.unwrap();
    assert_eq!(parents.len(), 3);
    assert_eq!(parents[2].versions, ["m3"]);
    let other = store.messages(&"other".into(), None, 9).await.unwrap();
    assert_eq!((other.len(), other[0].parent.as_ref()), (1, None));
    assert_eq!(found(&store, "text m2").await, ["m2"], "and is searched");
}

async fn search(store: &Store, typed: &str) -> Vec<FoundMessage> {
    let query = query(typed).expect("there is a word in it");
    store.search_messages(&query).await.unwrap()
}

async fn found(store: &Store, typed: &str) -> Vec<String> {
    let found = search(store, typed).await;
    found.into_iter().map(|f| f.message).collect()
}

#[tokio::test]
async fn words_are_found_as_they_are_typed_and_what_is_deleted_is_not() {
    let (_folder, store) = store().await;
    store.create_conversation(&c(), "talk", 1).await.unwrap();
    for (id, text) in [
        ("a", "Which cable joins two Sparks?"),
        ("b", "A QSFP cable, 200 Gb/s. Ça va: naïve, 重要です。"),
        ("c", "Thanks"),
    ] {
        let said = Message::new(id, Role::User, text, 1);
        store.append_message(&c(), &said).await.unwrap();
    }
    assert_eq!(found(&store, "c").await, ["b", "a"], "the latest first");
    assert_eq!(found(&store, "cab").await, ["b", "a"]);
    assert_eq!(found(&store, "CABLE spar").await, ["a"]);
    assert_eq!(found(&store, "naive").await, ["b"], "without accents too");
    assert_eq!(found(&store, "要で").await, ["b"], "inside a row of signs");
    assert!(found(&store, "cables").await.is_empty());
    assert!(found(&store, "NOT text:x NEAR(").await.is_empty());
    let hit = &search(&store, "joins").await[0];
    assert_eq!(hit.excerpt, ["Which cable ", "joins", " two Sparks?"]);
    assert_eq!(
        (hit.title.as_str(), hit.conversation.clone()),
        ("talk", c())
    );

    let mut changed = Message::new("c", Role::User, "Fibre", 2);
    changed.parent = Some("b".into());
    store.update_message(&changed).await.unwrap();
    assert!(found(&store, "thanks").await.is_empty());
    assert_eq!(found(&store, "fibre").await, ["c"]);
    store.delete_message("c", 3).await.unwrap();
    assert!(found(&store, "fibre").await.is_empty());
    store.delete_conversation(&c(), 4).await.unwrap();
    assert!(found(&store, "cable").await.is_empty());
    store.purge_deleted(4).await.unwrap();
    let left: i64 = sqlx::query_scalar(
        "select count(*) from message_search where message_search match 'cable'",
    )
    .fetch_one(&store.readers)
    .await
    .unwrap();
    assert_eq!(left, 0, "the index has no word of it left");
}
