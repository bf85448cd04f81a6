//! Every capture of a bandwidth under `tests/fixtures/captures/bandwidth` is a state that Tandem names.

#![expect(
    clippy::disallowed_methods,
    reason = "a test that can write its file anew"
)]

use super::{LinkState, Measured, Method, Verdict, collective, judge, perftest};

macro_rules! capture {
    ($name:literal) => {
        strip(include_str!(concat!(
            "../../../../../tests/fixtures/captures/bandwidth/",
            $name
        )))
    };
}

/// Lines with `#%` say where a capture comes from.
fn strip(text: &str) -> String {
    let lines = text.lines().filter(|l| !l.starts_with("#%"));
    lines.map(|l| format!("{l}\n")).collect()
}

fn measured(method: Method, rail: Option<u32>, gbps: f64) -> Measured {
    Measured {
        method,
        rail,
        from: Some(0),
        gbps,
    }
}

fn verdict(of: &[Measured], rdma: Option<bool>) -> Verdict {
    judge(of, rdma).expect("something was measured")
}

/// Of a table of nccl-tests alone.
fn of_collective(text: &str, rdma: Option<bool>) -> Verdict {
    let read = collective::parse(text).expect("a table");
    assert_eq!(read.wrong, 0);
    verdict(&[measured(Method::AllReduce, None, read.gbps)], rdma)
}

fn in_collective(gbps: f64, rdma: Option<bool>) -> LinkState {
    verdict(&[measured(Method::AllReduce, None, gbps)], rdma).state
}

fn rdma(alone: &[f64], together: f64) -> Verdict {
    let mut all: Vec<Measured> = (0..)
        .zip(alone)
        .map(|(rail, gbps)| measured(Method::Rdma, Some(rail), *gbps))
        .collect();
    all.push(measured(Method::Rdma, None, together));
    verdict(&all, None)
}

#[test]
fn two_rails_at_once_are_good_and_their_rows_are_all_read() {
    let rail0 = perftest::parse(&capture!("ib_write_bw.rail0.txt")).expect("rows");
    let rail1 = perftest::parse(&capture!("ib_write_bw.rail1.txt")).expect("rows");
    assert_eq!((rail0.mtu, rail1.mtu), (Some(1024), Some(1024)));
    let sum = rail0.gbps + rail1.gbps;
    assert!((sum - 189.85).abs() < 0.01, "NVIDIA's own sum, got {sum}");
    let good = rdma(&[], sum);
    assert_eq!(good.state, LinkState::Good);
    assert_eq!(good.cure, "", "nothing is to do");
    assert_eq!((good.expected_low, good.expected_high), (184.0, 200.0));
}

#[test]
fn one_rail_for_a_duration_is_one_rail() {
    let read = perftest::parse(&capture!("ib_write_bw.duration-mode.txt")).expect("a row");
    assert!(!read.simulated);
    assert!((read.gbps - 92.57).abs() < 1e-9, "not the column behind it");
    let one = verdict(&[measured(Method::Rdma, Some(0), read.gbps)], None);
    assert_eq!(one.state, LinkState::OneRail);
    assert!(one.cure.contains("both interfaces"), "{}", one.cure);
}

#[test]
fn the_13_gb_state_is_named_and_cured_by_restarting_both() {
    let read = perftest::parse(&capture!("ib_write_bw.degraded-13g.txt")).expect("a row");
    assert!((read.gbps - 13.22).abs() < 1e-9);
    for state in [
        verdict(&[measured(Method::Rdma, Some(0), read.gbps)], None),
        rdma(&[read.gbps, read.gbps], 2.0 * read.gbps),
        of_collective(&capture!("nccl-all_gather.degraded-hotplug.txt"), None),
    ] {
        assert_eq!(state.state, LinkState::HotPlug);
        assert!(state.cure.contains("restart both"), "{}", state.cure);
    }
    // The wire is perfect and the collective is not: it was seen after much re-configuring.
    let both = [
        measured(Method::Rdma, None, 196.08),
        measured(Method::AllReduce, None, 24.0),
    ];
    let slow = verdict(&both, Some(true));
    assert_eq!(
        (slow.state, slow.method),
        (LinkState::HotPlug, Method::AllReduce)
    );
}

#[test]
fn a_wrong_gid_is_no_measurement() {
    let text = capture!("ib_write_bw.wrong-gid.txt");
    assert_eq!(perftest::parse(&text), None);
    let said = perftest::complaint(&text, "");
    assert_eq!(said, "Unable to Connect the HCA's through the link");
}

#[test]
fn healthy_collectives_are_good() {
    for text in [
        capture!("nccl-all_gather.healthy-16g.txt"),
        capture!("nccl-all_gather.healthy-1g-4g.txt"),
    ] {
        let good = of_collective(&text, Some(true));
        assert_eq!(good.state, LinkState::Good, "{} Gb/s", good.gbps);
        assert_eq!((good.expected_low, good.expected_high), (175.0, 200.0));
    }
}

#[test]
fn nccl_says_which_network_it_uses() {
    let ib = collective::used_rdma(&capture!("nccl-debug-info.ib.txt"));
    let sockets = collective::used_rdma(&capture!("nccl-debug-info.socket-fallback.txt"));
    assert_eq!((ib, sockets), (Some(true), Some(false)));
    assert_eq!(in_collective(186.9, ib), LinkState::Good);
    let fallback = verdict(&[measured(Method::AllReduce, None, 15.9)], sockets);
    assert_eq!(fallback.state, LinkState::SocketFallback);
    assert!(fallback.cure.contains("/dev/infiniband"));
}

/// The Gb/s of the lines in `numbers.txt` that begin so.
fn numbers(of: &str) -> Vec<f64> {
    let text = capture!("numbers.txt");
    let figures = |line: &str| -> Vec<f64> {
        let unit = line.find("Gb/s").or(line.find("GB/s"));
        let (figures, unit) = line.split_at(unit.unwrap_or(line.len()));
        let factor = if unit.starts_with("GB/s") { 8.0 } else { 1.0 };
        // The words before the figures end with two spaces.
        let at = figures.rfind("  ").unwrap_or(0);
        let read = figures[at..].split([' ', '/', '=', '+', '-']);
        read.filter_map(|w| w.parse::<f64>().ok())
            .map(|g| g * factor)
            .collect()
    };
    let found: Vec<f64> = text
        .lines()
        .filter(|l| l.trim_start().starts_with(of))
        .flat_map(figures)
        .collect();
    assert!(!found.is_empty(), "no number for `{of}`");
    found
}

#[test]
fn the_numbers_people_measured_are_told_apart() {
    let rail = numbers("ib_write_bw one rail alone");
    assert_eq!(rail, [109.29, 111.71]);
    for gbps in rail {
        let one = verdict(&[measured(Method::Rdma, Some(0), gbps)], None);
        assert_eq!(one.state, LinkState::OneRail, "{gbps}");
        // Both rails are there, and the whole is no more than each.
        assert_eq!(rdma(&[gbps, gbps], gbps).state, LinkState::OneRail);
        assert_eq!(rdma(&[gbps, 0.0], gbps).state, LinkState::OneRail);
        assert!(rdma(&[gbps, 0.0], gbps).says.contains("rail 2"));
    }
    for sum in [196.08, 189.85, 218.36] {
        let text = capture!("numbers.txt");
        assert!(text.contains(&format!("= {sum}")), "{sum} is in the table");
        assert_eq!(rdma(&[109.29, 109.29], sum).state, LinkState::Good, "{sum}");
    }
    for gbps in numbers("NCCL all-reduce 1 GiB") {
        assert_eq!(in_collective(gbps, None), LinkState::Good, "{gbps}");
    }
    assert_eq!(numbers("same pair, NO /dev/infiniband").last(), Some(&15.9));
    for gbps in [15.9, 16.1] {
        assert_eq!(in_collective(gbps, None), LinkState::SocketFallback);
    }
    assert!((numbers("NCCL all_gather, degraded")[0] - 22.56).abs() < 1e-9);
    assert_eq!(in_collective(22.56, None), LinkState::HotPlug);
    assert!((numbers("NCCL all_gather over 100G-only cable")[0] - 91.84).abs() < 1e-9);
    assert_eq!(in_collective(91.84, None), LinkState::Cable100G);
    assert_eq!(rdma(&[92.0, 92.1], 92.0).state, LinkState::Cable100G);
    // What TCP reaches on a healthy rail, alone and on both.
    for gbps in [96.0, 107.0, 110.0] {
        let all = [
            measured(Method::Tcp, Some(0), gbps),
            measured(Method::Tcp, Some(1), gbps),
            measured(Method::Tcp, None, 1.4 * gbps),
        ];
        assert_eq!(verdict(&all, None).state, LinkState::Good, "{gbps}");
    }
}

#[test]
fn the_slower_direction_counts_and_a_half_rail_is_pointed_at() {
    let back = Measured {
        from: Some(1),
        ..measured(Method::Rdma, None, 140.0)
    };
    let slow = verdict(&[measured(Method::Rdma, None, 196.0), back], None);
    assert_eq!((slow.state, slow.gbps), (LinkState::Slow, 140.0));
    // Two PCIe lanes where there could be four.
    let half = rdma(&[109.0, 55.0], 164.0);
    assert_eq!(half.state, LinkState::Slow);
    assert!(half.says.contains("rail 2"), "{}", half.says);
    assert!(half.cure.contains("PCIe"), "{}", half.cure);
    assert_eq!(judge(&[], None), None);
}

#[test]
fn a_crawling_wire_explains_its_collective_but_sockets_are_said() {
    let crawl = |all_reduce: f64, used| {
        let all = [
            measured(Method::Rdma, Some(0), 13.2),
            measured(Method::Rdma, Some(1), 13.2),
            measured(Method::Rdma, None, 26.4),
            measured(Method::AllReduce, None, all_reduce),
        ];
        verdict(&all, used)
    };
    assert_eq!(crawl(22.6, Some(true)).method, Method::Rdma);
    assert_eq!(crawl(15.9, Some(false)).state, LinkState::SocketFallback);
}

#[test]
fn every_state_has_a_sentence_and_all_but_good_a_cure() {
    let states = [
        rdma(&[109.0, 109.0], 196.0),
        rdma(&[109.0, 0.0], 109.0),
        rdma(&[92.0, 92.0], 92.0),
        rdma(&[13.0, 13.0], 26.0),
        rdma(&[80.0, 80.0], 150.0),
        verdict(&[measured(Method::AllReduce, None, 15.0)], None),
    ];
    for v in states {
        assert!(v.says.ends_with('.') && v.says.matches(". ").count() == 0);
        assert_eq!(v.cure.is_empty(), v.state == LinkState::Good);
        assert_eq!(v.cure.matches(". ").count(), 0, "one sentence: {}", v.cure);
    }
}

/// Every state of the table in the documents, by its capture.
fn table() -> String {
    let single = |text: &str| {
        let read = perftest::parse(text).expect("a row");
        verdict(&[measured(Method::Rdma, Some(0), read.gbps)], None)
    };
    let rate = |text: &str| perftest::parse(text).expect("a row").gbps;
    let both = rate(&capture!("ib_write_bw.rail0.txt")) + rate(&capture!("ib_write_bw.rail1.txt"));
    let collective = |gbps, used| verdict(&[measured(Method::AllReduce, None, gbps)], used);
    let sockets = collective::used_rdma(&capture!("nccl-debug-info.socket-fallback.txt"));
    let ib = collective::used_rdma(&capture!("nccl-debug-info.ib.txt"));
    let rows = [
        (
            "`ib_write_bw.rail0.txt` and `ib_write_bw.rail1.txt`, at one time",
            rdma(&[], both),
        ),
        (
            "`ib_write_bw.duration-mode.txt`, one rail alone",
            single(&capture!("ib_write_bw.duration-mode.txt")),
        ),
        (
            "`ib_write_bw.degraded-13g.txt`",
            single(&capture!("ib_write_bw.degraded-13g.txt")),
        ),
        (
            "`nccl-all_gather.degraded-hotplug.txt`",
            of_collective(&capture!("nccl-all_gather.degraded-hotplug.txt"), None),
        ),
        (
            "`nccl-all_gather.healthy-16g.txt`",
            of_collective(&capture!("nccl-all_gather.healthy-16g.txt"), None),
        ),
        (
            "`nccl-all_gather.healthy-1g-4g.txt`",
            of_collective(&capture!("nccl-all_gather.healthy-1g-4g.txt"), None),
        ),
        (
            "`nccl-debug-info.ib.txt` with 186.9 Gb/s of `numbers.txt`",
            collective(186.9, ib),
        ),
        (
            "`nccl-debug-info.socket-fallback.txt` with 15.9 Gb/s of `numbers.txt`",
            collective(15.9, sockets),
        ),
        (
            "`numbers.txt`, one rail alone with 109.29 Gb/s",
            verdict(&[measured(Method::Rdma, Some(0), 109.29)], None),
        ),
        (
            "`numbers.txt`, a 100G cable with 11.48 GB/s",
            collective(91.84, None),
        ),
        (
            "`numbers.txt`, two cables with 218.36 Gb/s",
            rdma(&[], 218.36),
        ),
    ];
    let mut text =
        String::from("| Capture | State | What Tandem says | Cure |\n| --- | --- | --- | --- |\n");
    for (of, v) in rows {
        let state = serde_json::to_string(&v.state).expect("a name");
        let cure = if v.cure.is_empty() { "–" } else { &v.cure };
        let says = &v.says;
        text += &format!(
            "| {of} | `{}` | {says} | {cure} |\n",
            state.trim_matches('"')
        );
    }
    text + "| `ib_write_bw.wrong-gid.txt` | no measurement | Nothing was measured over the rail, with the tool's own words; TCP is measured where no rail has a number. | – |\n"
}

#[test]
fn the_page_of_states_says_the_same() {
    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/STATES.md");
    let page = std::fs::read_to_string(PAGE).expect("the page");
    let (begin, end) = (
        "<!-- captures of bandwidth: begin -->\n\n",
        "\n<!-- captures of bandwidth: end -->",
    );
    let (before, rest) = page.split_once(begin).expect("its begin");
    let (written, after) = rest.split_once(end).expect("its end");
    if std::env::var_os("TANDEM_WRITE_DOCS").is_some() {
        let new = format!("{before}{begin}{}{end}{after}", table());
        std::fs::write(PAGE, new).expect("the page can be written");
        return;
    }
    assert!(
        written == table(),
        "docs/STATES.md is stale: run this test with TANDEM_WRITE_DOCS=1"
    );
}
