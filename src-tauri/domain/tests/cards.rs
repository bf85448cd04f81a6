//! What vLLM printed on real GPUs for what Tandem had made and had asked for; see `fixtures/cards`.

#![allow(clippy::unwrap_used)] // a test ends where it cannot go on
#![allow(clippy::disallowed_methods)] // the fixtures are files of this repository

use std::path::PathBuf;

use tandem_domain::engine::causes::{self, Cause};
use tandem_domain::engine::metrics::Metrics;
use tandem_domain::engine::{self, Engine, Meeting};
use tandem_domain::graft;
use tandem_domain::graft::mtp_method::{MtpMethod, Revision, Vllm, propose};
use tandem_domain::recipe::EngineKind;

fn engine() -> &'static dyn Engine {
    engine::of(EngineKind::Vllm)
}

fn file(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/cards");
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The logs of both ranks, by machine.
fn logs(name: &str) -> Vec<(String, Vec<String>)> {
    let of = |rank: usize| {
        let text = file(&format!("{name}.rank{rank}.log.txt"));
        text.lines().map(str::to_owned).collect()
    };
    vec![("sun".to_owned(), of(0)), ("moon".to_owned(), of(1))]
}

fn tables() -> [&'static [Cause]; 5] {
    [
        engine().causes(),
        graft::causes::CAUSES,
        causes::CAUSES,
        engine().consequences(),
        causes::CONSEQUENCES,
    ]
}

#[test]
fn a_good_start_goes_through_its_phases_and_has_no_cause() {
    for name in ["v26-draft", "v33-graft"] {
        let logs = logs(name);
        assert!(!causes::is_told(&tables(), &logs), "{name}");
        for (machine, lines) in &logs {
            let mut phases: Vec<String> = lines
                .iter()
                .filter_map(|line| engine().phase(line))
                .map(|phase| phase.doing)
                .collect();
            phases.dedup();
            assert!(phases.len() > 3, "{name} on {machine}: {phases:?}");
            let met = lines
                .iter()
                .filter_map(|line| engine().meeting(line))
                .any(|meeting| meeting == Meeting::Met);
            assert!(met, "{name} on {machine}");
        }
    }
}

#[test]
fn layers_beside_the_weights_are_too_much_for_0_26_and_that_is_told() {
    let told = causes::explain(&tables(), &logs("v26-graft"), "It ended with 1");
    let words = told.to_string();
    assert!(words.contains("0.27.0 or newer"), "{words}");
    assert!(words.contains("draft of its own"), "{words}");
}

#[test]
fn what_was_drafted_is_counted_in_both_releases() {
    for name in ["v26-draft", "v33-graft"] {
        let after = Metrics::parse(&file(&format!("{name}.metrics.txt")));
        let found = engine()
            .acceptance(&Metrics::default(), &after)
            .unwrap_or_else(|| panic!("{name} drafted"));
        assert!((found.rate - 325.0 / 603.0).abs() < 1e-9, "{found:?}");
        assert_eq!(found.per_position.len(), 3);
    }
}

/// Both served there, and the way that is not proposed for 0.26 did not.
#[test]
fn what_is_proposed_for_a_release_is_what_served() {
    let first_release = Revision {
        has_layers: Some(false),
        ..Revision::of_name("stepfun-ai/Step-3.7-Flash-NVFP4", "main")
    };
    let proposed = |version: &str| {
        let vllm = Vllm::of_name(&format!("vllm/vllm-openai:v{version}"));
        propose(&vllm, &first_release, true).way
    };
    assert_eq!(proposed("0.26.0"), MtpMethod::Draft);
    assert_eq!(proposed("0.33.0"), MtpMethod::Overlay);
}
