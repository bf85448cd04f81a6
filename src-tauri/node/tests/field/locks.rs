//! A cache on a share that has no file locks.

use std::collections::BTreeMap;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};
use tandem_domain::node::NodeEvent;

use crate::common::{MIXED, Site, write_mixed};

/// `flock` on this processor.
const FLOCK: i64 = if cfg!(target_arch = "aarch64") {
    32
} else {
    73
};

/// Does something in a thread of which every program that it starts gets this error for each lock it asks for.
fn with_locks_refused<T: Send>(error: u32, act: impl FnOnce() -> T + Send) -> T {
    let arch = std::env::consts::ARCH;
    let arch = TargetArch::try_from(arch).expect("a processor of Tandem's");
    let refused = SeccompAction::Errno(error);
    let rules = BTreeMap::from([(FLOCK, Vec::new())]);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch).expect("a filter");
    let filter: BpfProgram = filter.try_into().expect("a program");
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            seccompiler::apply_filter(&filter).expect("the kernel takes it");
            act()
        });
        thread.join().expect("it ends")
    })
}

#[test]
fn where_there_are_no_locks_the_fetch_goes_on_and_says_so() {
    let site = Site::with(|repos| write_mixed(repos, 1, 1 << 20));
    // ENOLCK, ENOSYS and EOPNOTSUPP.
    for error in [37, 38, 95] {
        let home = site.home(&format!("home-{error}"));
        let lines = with_locks_refused(error, || home.run("fetch", &home.fetch(MIXED, "main")));
        let notes = lines.iter().filter_map(|l| match &l.event {
            NodeEvent::Note { text } => Some(text.as_str()),
            _ => None,
        });
        let notes: Vec<&str> = notes.collect();
        assert!(
            notes.iter().any(|n| n.contains("has no locks")),
            "{notes:?}"
        );
        let last = lines.last().map(|l| l.event.clone());
        assert!(matches!(last, Some(NodeEvent::Done { .. })), "{last:?}");
        // As a job too, which holds its own folder.
        with_locks_refused(error, || {
            home.answer(
                &["start", "fetch", "--job", "j"],
                &home.fetch(MIXED, "main"),
            );
            let last = home.follow("j", 0).pop().map(|l| l.event);
            assert!(matches!(last, Some(NodeEvent::Done { .. })), "{last:?}");
        });
    }
}

#[test]
fn any_other_failure_of_a_lock_is_told_as_it_is() {
    let site = Site::with(|repos| write_mixed(repos, 1, 1 << 20));
    let home = site.home("one");
    // EIO.
    let problem = with_locks_refused(5, || home.refused("fetch", &home.fetch(MIXED, "main")));
    let said = format!("{} {:?}", problem.message, problem.cause);
    assert!(
        said.contains("lock") && said.contains("Input/output error"),
        "{said}"
    );
}
