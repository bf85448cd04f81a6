//! What a database on disk withstands: damage, a newer Tandem, a full disk.

use tandem_domain::chat::{Message, Role};

use super::chat::message;
use super::*;

#[tokio::test]
async fn a_closed_database_opens_again_with_everything_in_it() {
    let (folder, store) = store().await;
    store.create_run(&new_run("r1", 1)).await.unwrap();
    let path = store.path().to_owned();
    store.close().await;
    let again = Store::open(&path).await.expect("its tables are up to date");
    assert_eq!(again.runs().await.unwrap().len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.path().join("data"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700, "conversations are nobody else's");
    }
    #[cfg(not(unix))]
    drop(folder);
}

#[cfg(unix)]
#[tokio::test]
async fn a_folder_that_the_window_made_first_is_closed_to_others_with_all_that_is_in_it() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("dev.tandem.app");
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    // What the window's engine leaves, and an earlier Tandem that opened the folder with the umask 022.
    std::fs::create_dir_all(data.join("storage")).unwrap();
    let path = data.join("tandem.db");
    let first = Store::open(&path).await.expect("it opens");
    first.create_run(&new_run("r1", 1)).await.unwrap();
    let files = ["tandem.db", "tandem.db-wal", "tandem.db-shm"].map(|f| data.join(f));
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o755)).unwrap();
    for file in &files {
        std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
    }
    let again = Store::open(&path).await.expect("it opens");
    again.create_run(&new_run("r2", 1)).await.unwrap();
    assert_eq!(mode(&data), 0o700);
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
}

#[tokio::test]
async fn a_database_of_a_newer_tandem_is_left_alone() {
    let (_folder, store) = store().await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
         values (29990101000000, 'later', 1, x'00', 0)",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    let path = store.path().to_owned();
    store.close().await;
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(&path).await.expect_err("it is refused");
    assert!(
        matches!(
            error,
            StoreError::Newer {
                version: 29990101000000,
                ..
            }
        ),
        "{error}"
    );
    let problem = error.problem();
    assert!(problem.fix.unwrap().sentence.contains("newer version"));
    assert!(
        std::fs::read(&path).unwrap() == before,
        "not a byte was changed"
    );
}

#[tokio::test]
async fn a_damaged_file_is_named_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tandem.db");
    let junk = b"this is a letter and no database, however long it gets ".repeat(200);
    std::fs::write(&path, &junk).unwrap();
    let error = Store::open(&path).await.expect_err("it is refused");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(error.problem().cause.unwrap().contains("tandem.db"));
    assert_eq!(std::fs::read(&path).unwrap(), junk);
}

#[tokio::test]
async fn a_page_gone_bad_is_found_on_opening() {
    let (_folder, store) = store().await;
    let run = new_run("r1", 1);
    store.create_run(&run).await.unwrap();
    for n in 0..400 {
        store
            .append(&run.id, n as u64, event(n, Event::CancelRequested))
            .await
            .unwrap();
    }
    let path = store.path().to_owned();
    store.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    // Not the first page, which says what the file is, but every other.
    bytes[4096..].fill(0xa5);
    std::fs::write(&path, &bytes).unwrap();
    let error = Store::open(&path).await.expect_err("it is refused");
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn what_was_written_can_be_neither_changed_nor_renumbered() {
    let (_folder, store) = store().await;
    let run = new_run("r1", 1);
    store.create_run(&run).await.unwrap();
    for at in 1..=3 {
        store
            .append(&run.id, at as u64 - 1, event(at, Event::Resumed))
            .await
            .unwrap();
    }
    let before = store.events(&run.id).await.unwrap();
    for (act, why) in [
        ("update run_event set at = 0", "append-only"),
        ("delete from run_event", "append-only"),
        (
            "insert or replace into run_event values ('r1', 2, 0, null, 'undoing', '{}')",
            "without gaps",
        ),
        (
            "insert into run_event values ('r1', 9, 0, null, 'undoing', '{}')",
            "without gaps",
        ),
        (
            "insert into run_event values ('r2', 1, 0, null, 'undoing', '{}')",
            "FOREIGN KEY",
        ),
        (
            "insert into run_event values ('r1', 4, 0, null, 'undoing', 'no json')",
            "CHECK",
        ),
        ("update run set plan = '{}'", "never rewritten"),
        ("update run set outcome = 'completed'", "CHECK"),
        ("delete from run", "FOREIGN KEY"),
    ] {
        let refused = sqlx::query(act).execute(&store.writer).await;
        let error = refused.expect_err(act).to_string();
        assert!(error.contains(why), "{act}: {error}");
    }
    assert_eq!(store.events(&run.id).await.unwrap(), before);
}

#[tokio::test]
async fn an_event_of_a_later_version_reads_as_unknown_and_stays_as_it_is() {
    let (_folder, store) = store().await;
    store.create_run(&new_run("r1", 1)).await.unwrap();
    let body = r#"{"kind":"attempt-failed","attempt":2}"#;
    sqlx::query("insert into run_event values ('r1', 1, 5, 'fetch', 'attempt-failed', ?1)")
        .bind(body)
        .execute(&store.writer)
        .await
        .unwrap();
    let events = store.events(&RunId("r1".into())).await.unwrap();
    assert_eq!(events[0].event, Event::Unknown);
    assert_eq!(events[0].step, Some(StepId("fetch".into())));

    sqlx::query(
        "insert into run_event values ('r1', 2, 5, null, 'finished', '{\"kind\":\"finished\"}')",
    )
    .execute(&store.writer)
    .await
    .unwrap();
    let error = store
        .events(&RunId("r1".into()))
        .await
        .expect_err("a known kind must be whole");
    assert!(
        error
            .to_string()
            .contains("`body` of row `2` in `run_event`"),
        "{error}"
    );
}

#[tokio::test]
async fn readers_cannot_write() {
    let (_folder, store) = store().await;
    let refused = sqlx::query("delete from setting")
        .execute(&store.readers)
        .await;
    assert!(refused.unwrap_err().to_string().contains("readonly"));
}

#[tokio::test]
async fn a_full_database_says_so_and_keeps_what_it_has() {
    let (_folder, store) = store().await;
    let run = new_run("r1", 1);
    store.create_run(&run).await.unwrap();
    sqlx::query("pragma max_page_count = 60")
        .execute(&store.writer)
        .await
        .unwrap();
    let long = "x".repeat(10_000);
    let mut written = 0;
    let error = loop {
        let verified = Event::Verified { seen: long.clone() };
        match store
            .append_event(&run.id, written as u64, event(written, verified))
            .await
        {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 100, "60 pages hold no megabyte");
    };
    assert_eq!(error.problem().code, Code::DiskFull, "{error}");
    assert_eq!(store.events(&run.id).await.unwrap().len(), written as usize);
    sqlx::query("pragma max_page_count = 100000")
        .execute(&store.writer)
        .await
        .unwrap();
    let next = store
        .append(&run.id, written as u64, event(0, Event::Resumed))
        .await
        .expect("there is room again");
    assert_eq!(next.seq, written as u64 + 1, "the failed write left no gap");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_message_reads_back(text in any::<String>(), reasoning in any::<String>(), stopped: bool) {
        // SQLite's text ends at a NUL for some of its functions; it is stored whole all the same.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (_folder, store) = store().await;
            store.create_conversation(&"c".into(), &text, 1).await.unwrap();
            let kept = Message { text, reasoning, stopped, ..message("m", Role::User, &[]) };
            store.append_message(&"c".into(), &kept).await.unwrap();
            assert_eq!(store.messages(&"c".into(), None, 9).await.unwrap(), std::slice::from_ref(&kept));
            assert_eq!(store.conversations().await.unwrap()[0].title, kept.text);
        });
    }
}

#[tokio::test]
async fn a_run_from_before_procedures_had_a_name_of_their_own_is_read() {
    let (_folder, store) = store().await;
    let run = new_run("r1", 1);
    let plan = serde_json::to_string(&run.plan).unwrap();
    let old = plan
        .replace("\"procedure\"", "\"recipe\"")
        .replace("\"procedure_version\"", "\"recipe_version\"");
    assert_ne!(old, plan);
    for back in [
        "alter table run rename column procedure to recipe",
        "alter table run rename column procedure_version to recipe_version",
        "delete from _sqlx_migrations where version = 20261127100000",
    ] {
        sqlx::query(back).execute(&store.writer).await.unwrap();
    }
    sqlx::query(
        "insert into run (id, recipe, recipe_version, title, params, plan, started_at, simulated)
         values ('r1', ?1, ?2, 'A run', '{}', ?3, 1, 0)",
    )
    .bind(&run.plan.procedure)
    .bind(run.plan.procedure_version)
    .bind(old)
    .execute(&store.writer)
    .await
    .unwrap();
    let path = store.path().to_owned();
    store.close().await;

    let again = Store::open(&path)
        .await
        .expect("its tables are brought up to date");
    let detail = again.run(&RunId::from("r1")).await.unwrap().unwrap();
    assert_eq!(detail.plan, run.plan);
    assert_eq!(detail.summary.procedure, run.plan.procedure);
    let rewritten = sqlx::query("update run set procedure = 'x'")
        .execute(&again.writer)
        .await;
    assert!(rewritten.is_err(), "the plan is as fixed as before");
}
