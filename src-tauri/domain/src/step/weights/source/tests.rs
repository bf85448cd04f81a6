//! Every source, with the sentence that is told of it.

use super::*;
use crate::problem::{Code, Problem};
use crate::step::link_copy::TRIES;
use crate::step::link_copy::samples::{measured, network, refused};

fn source(network: Option<&NetworkPlan>, gbps: Option<f64>, complete: &[bool]) -> WeightsSource {
    let measured = gbps.map(measured);
    choose(&WeightsInputs {
        names: ["spark-a", "spark-b"][..complete.len()].to_vec(),
        network,
        measured: measured.as_ref(),
        complete,
        begun: &[],
        line: None,
        allowed: None,
    })
}

#[test]
fn a_pair_with_a_link_uses_the_line_once() {
    let both = network(2);
    let WeightsSource::OnceThenCable { from, why } =
        source(Some(&both), Some(192.4), &[false, false])
    else {
        panic!("the line is used once");
    };
    assert_eq!(from, 0);
    assert_eq!(
        why,
        "`spark-a` fetches once over your line; each finished file crosses the private link, which carries 192 Gb/s, while the rest still comes."
    );
    let unmeasured = source(Some(&both), None, &[false, false]);
    assert!(
        unmeasured.why().contains("over both rails"),
        "{unmeasured:?}"
    );
    assert!(
        source(Some(&network(1)), None, &[false, false])
            .why()
            .contains("one rail")
    );
    // A cable that was plugged in while the machines ran is still faster than a home line.
    assert!(matches!(
        source(Some(&both), Some(13.0), &[false, false]),
        WeightsSource::OnceThenCable { from: 0, .. }
    ));
}

#[test]
fn the_one_that_has_everything_gives() {
    let both = network(2);
    let given = source(Some(&both), None, &[false, true]);
    assert!(
        matches!(given, WeightsSource::OnceThenCable { from: 1, .. }),
        "{given:?}"
    );
    assert!(given.why().contains("nothing comes over your line"));
    assert!(matches!(
        source(Some(&both), None, &[true, false]),
        WeightsSource::OnceThenCable { from: 0, .. }
    ));
}

fn line(alone: [f64; 2], together: [f64; 2]) -> Uplink {
    Uplink {
        alone: alone.map(|r| r * 1e6),
        together: together.map(|r| r * 1e6),
    }
}

fn measured_road(line: &Uplink, begun: &[Option<NodeWork>], complete: &[bool]) -> WeightsSource {
    let both = network(2);
    choose(&WeightsInputs {
        names: vec!["spark-a", "spark-b"],
        network: Some(&both),
        measured: None,
        complete,
        begun,
        line: Some(line),
        allowed: None,
    })
}

fn fetch() -> crate::node::FetchRequest {
    crate::node::FetchRequest {
        endpoint: "http://hub".into(),
        repositories: crate::node::RepoFiles::all("o/n", "main").into(),
        hf_home: None,
        connections: 8,
        limits: crate::node::FetchLimits::default(),
        proxy: None,
    }
}

fn copy(share: Option<crate::node::Share>) -> Option<NodeWork> {
    Some(NodeWork::Copy(crate::node::CopyRequest {
        fetch: fetch(),
        from: "spark-a".into(),
        streams: 4,
        share,
    }))
}

#[test]
fn each_fetches_its_share_where_both_together_get_more() {
    let wide = line([33.0, 31.0], [32.0, 29.0]);
    let source = measured_road(&wide, &[], &[false, false]);
    let WeightsSource::Halves { parts, why } = &source else {
        panic!("{source:?}");
    };
    assert_eq!(parts, &[52, 48]);
    assert_eq!(
        why,
        "From the Hub both machines together get 61.0 MB/s, `spark-a` alone 33.0 MB/s and `spark-b` alone 31.0 MB/s: each fetches its share, 52 and 48 of 100, and the shares cross the private link, over both rails."
    );
    let given = measured_road(&wide, &[], &[false, true]);
    assert!(
        matches!(given, WeightsSource::OnceThenCable { from: 1, .. }),
        "what is here already does not come over the line: {given:?}"
    );
}

#[test]
fn where_the_line_is_the_bottleneck_one_fetches_and_the_better_one() {
    let shared = measured_road(&line([33.0, 31.0], [17.0, 16.0]), &[], &[false, false]);
    assert!(matches!(
        shared,
        WeightsSource::OnceThenCable { from: 0, .. }
    ));
    assert_eq!(
        shared.why(),
        "From the Hub both machines together get 33.0 MB/s, `spark-a` alone 33.0 MB/s and `spark-b` alone 31.0 MB/s, so two would not be faster than one. `spark-a` fetches once over your line; each finished file crosses the private link, over both rails, while the rest still comes."
    );
    let slow = measured_road(&line([5.0, 90.0], [5.0, 86.0]), &[], &[false, false]);
    assert!(
        matches!(slow, WeightsSource::OnceThenCable { from: 1, .. }),
        "{slow:?}"
    );
}

#[test]
fn what_an_earlier_life_began_goes_on_in_the_same_way() {
    let shared = line([33.0, 31.0], [17.0, 16.0]);
    let share = crate::node::Share {
        parts: vec![70, 30],
        mine: 1,
    };
    for begun in [
        [None, copy(Some(share.clone()))],
        // One that could not go on by its share.
        [Some(NodeWork::Fetch(fetch())), copy(Some(share.clone()))],
    ] {
        let source = measured_road(&shared, &begun, &[false, false]);
        assert!(
            matches!(&source, WeightsSource::Halves { parts, .. } if parts == &[70, 30]),
            "{source:?}"
        );
    }
    let wide = line([33.0, 31.0], [32.0, 29.0]);
    let begun = [copy(None), Some(NodeWork::Fetch(fetch()))];
    let both = network(2);
    let known = WeightsInputs {
        names: vec!["spark-a", "spark-b"],
        network: Some(&both),
        measured: None,
        complete: &[false, false],
        begun: &begun,
        line: None,
        allowed: None,
    };
    let source = choose(&known);
    assert!(
        matches!(source, WeightsSource::OnceThenCable { from: 1, .. }),
        "{source:?}"
    );
    assert!(
        !is_open(&source, &known),
        "nothing is measured beside work that is under way"
    );
    let fresh = WeightsInputs {
        begun: &[None, None],
        ..known
    };
    assert!(is_open(&choose(&fresh), &fresh));
    let source = measured_road(&wide, &[None, None], &[false, false]);
    assert!(matches!(source, WeightsSource::Halves { .. }), "{source:?}");
}

#[test]
fn without_a_link_worth_it_each_fetches() {
    let both = network(2);
    for (network, gbps, complete, word) in [
        (None, None, &[false, true][..], "no private link"),
        (Some(&both), Some(0.9), &[false, false][..], "only 0.9 Gb/s"),
        (Some(&both), None, &[false][..], "from the Hub"),
    ] {
        let source = source(network, gbps, complete);
        assert!(
            matches!(source, WeightsSource::EachFromHub { .. }),
            "{source:?}"
        );
        assert!(source.why().contains(word), "{source:?}");
    }
    let empty = NetworkPlan {
        rails: Vec::new(),
        ..both
    };
    assert!(matches!(
        source(Some(&empty), None, &[false, false]),
        WeightsSource::EachFromHub { .. }
    ));
}

#[test]
fn a_copy_that_breaks_off_goes_on_then_the_hub_helps_and_what_the_hub_cannot_help_is_told() {
    assert_eq!(after(&refused(Code::LinkFails), 1), AfterBreak::Again);
    assert_eq!(
        after(&refused(Code::LinkFails), TRIES),
        AfterBreak::WithoutLink
    );
    assert_eq!(after(&refused(Code::HashMismatch), 1), AfterBreak::Again);
    assert_eq!(
        after(&refused(Code::HashMismatch), 2),
        AfterBreak::WithoutLink
    );
    for code in [Code::DiskFull, Code::HubToken, Code::RepositoryMissing] {
        assert_eq!(after(&refused(code), 1), AfterBreak::Tell, "{code:?}");
    }
    let lost = JobError::Lost(Box::new(Problem::new(Code::JobLost, "Gone.")));
    assert_eq!(after(&lost, 1), AfterBreak::Again);
    assert_eq!(after(&lost, TRIES), AfterBreak::Tell);
}
