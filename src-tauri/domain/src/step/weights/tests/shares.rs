//! Each its share: when it is chosen, what is asked of whom, and what is done when one of them cannot.

use super::*;
use crate::node::{CopyRequest, Share};
use crate::step::ids;

impl Node {
    /// One with a line of its own and a checkpoint that is worth a measurement.
    fn on_line(own: &'static str, alone: f64, shared: f64, ends: Vec<End>) -> Self {
        Self {
            missing: 129_000_000_000,
            line: Some((alone, shared)),
            ..Self::plain(own, false, ends)
        }
    }

    /// What it says while it reads for four seconds; the other begins a second later or began a second before.
    pub(super) fn probe(&self, on_line: &mut (dyn for<'l> FnMut(&'l str) + Send)) {
        let Some((alone, shared)) = self.line else {
            return;
        };
        let mut bytes = 1.0;
        for n in 0..=40_u32 {
            let busy = if self.own == "a" { n > 10 } else { n <= 30 };
            bytes += if n == 0 { 0.0 } else { 1e5 } * if busy { shared } else { alone };
            let event = NodeEvent::Progress {
                done: bytes as u64,
                total: None,
                rate: None,
                doing: String::new(),
                held: None,
            };
            let line = NodeLine {
                seq: 1,
                at: 1_700_000_000_000 + i64::from(n) * 100,
                event,
            };
            on_line(&serde_json::to_string(&line).unwrap());
        }
    }

    /// The share of the latest copy that was started on it.
    fn share(&self) -> Value {
        let asked = self.asked.lock().unwrap();
        asked.last().map_or(Value::Null, |r| r["share"].clone())
    }
}

fn two(shared: f64, a: Vec<End>, b: Vec<End>) -> (Arc<Node>, Arc<Node>) {
    (
        Arc::new(Node::on_line("a", 30.0, shared, a)),
        Arc::new(Node::on_line("b", 30.0, shared, b)),
    )
}

#[tokio::test]
async fn two_lines_of_their_own_bring_a_share_each_and_the_arithmetic_is_told() {
    let (a, b) = two(30.0, vec![], vec![]);
    let (outcome, state, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((a.heard("run probe"), b.heard("run probe")), (1, 1));
    for (node, mine) in [(&a, 0), (&b, 1)] {
        assert_eq!(node.heard("start copy"), 1, "{:?}", node.said());
        assert_eq!(node.heard("start fetch"), 0);
        assert_eq!(node.share(), json!({"parts": [50, 50], "mine": mine}));
    }
    assert_eq!(a.heard("copy serve --listen 192.168.100.10"), 1);
    assert_eq!(b.heard("copy serve --listen 192.168.100.11"), 1);
    let why = "together get 60.0 MB/s, `spark-a` alone 30.0 MB/s and `spark-b` alone 30.0 MB/s: each fetches its share";
    assert!(said.iter().any(|l| l.contains(why)), "{said:?}");
    let receipt = state.steps[&StepId::from(ids::WEIGHTS)].receipt.clone();
    let receipt = receipt.unwrap();
    assert_eq!(
        (&receipt[0]["snapshot"], &receipt[1]["snapshot"]),
        (&json!("/a"), &json!("/b"))
    );
}

#[tokio::test]
async fn one_line_for_both_is_used_once_and_what_cannot_be_measured_too() {
    let (a, b) = two(15.0, vec![], vec![]);
    let (outcome, _, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((a.heard("start fetch"), b.heard("start copy")), (1, 1));
    assert_eq!(b.share(), Value::Null);
    assert!(
        said.iter().any(|l| l.contains("two would not be faster")),
        "{said:?}"
    );

    let mut silent = Node::on_line("b", 30.0, 30.0, vec![]);
    silent.line = None;
    let (a, _) = two(30.0, vec![], vec![]);
    let b = Arc::new(silent);
    let (outcome, _, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((a.heard("start fetch"), b.heard("start copy")), (1, 1));
    assert!(said.iter().any(|l| l.contains("not be measured")));
}

#[tokio::test]
async fn what_is_small_or_under_way_is_not_measured() {
    let (a, b) = (Node::new("a", false, vec![]), Node::new("b", false, vec![]));
    let (_, _, said) = run(true, &a, &b).await;
    assert_eq!(a.heard("run probe") + b.heard("run probe"), 0, "{said:?}");

    let mut began = Node::on_line("b", 30.0, 30.0, vec![]);
    began.begun = Some(NodeWork::Copy(CopyRequest {
        fetch: step(true).fetch(),
        from: "spark-a".into(),
        streams: 4,
        share: Some(Share {
            parts: vec![70, 30],
            mine: 1,
        }),
    }));
    let (a, _) = two(30.0, vec![], vec![]);
    let b = Arc::new(began);
    let (outcome, _, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!(a.heard("run probe") + b.heard("run probe"), 0, "{said:?}");
    assert_eq!(a.share(), json!({"parts": [70, 30], "mine": 0}));
    assert_eq!(b.heard("cancel"), 0, "it is at the right thing");
}

#[tokio::test]
async fn a_machine_that_does_not_reach_the_hub_leaves_its_share_to_the_other() {
    let (a, b) = two(30.0, vec![], vec![End::Fails(Code::HubUnreachable)]);
    let (outcome, _, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Completed, "{said:?}");
    assert_eq!((b.heard("start copy"), b.heard("start fetch")), (2, 0));
    assert_eq!(b.share(), Value::Null, "the second time it only copies");
    assert!(
        said.iter().any(|l| l.contains("`spark-a` fetches it too")),
        "{said:?}"
    );
}

#[tokio::test]
async fn when_one_cannot_go_on_the_other_is_stopped_and_the_reason_is_told() {
    let (a, b) = two(30.0, vec![End::Goes], vec![End::Late(Code::DiskFull)]);
    let (outcome, state, said) = run(true, &a, &b).await;
    assert_eq!(outcome, RunOutcome::Failed, "{said:?}");
    let problem = state.steps[&StepId::from(ids::WEIGHTS)].problem.clone();
    let problem = problem.unwrap();
    assert_eq!(problem.code, Code::DiskFull);
    assert_eq!(problem.machine.as_deref(), Some("spark-b"));
    assert_eq!(a.heard("cancel --job r-weights"), 1, "{:?}", a.said());
}
