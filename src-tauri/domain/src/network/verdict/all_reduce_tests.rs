//! What two containers printed, read and judged.

use super::*;

macro_rules! capture {
    ($name:literal) => {
        include_str!(concat!(
            "../../../../../tests/fixtures/captures/bandwidth/",
            $name
        ))
    };
}

const IB: &str = capture!("nccl-debug-info.ib.txt");
const SOCKETS: &str = capture!("nccl-debug-info.socket-fallback.txt");

/// What one rank prints, with what NCCL prints in between.
fn log(backend: &str, torch: &str, bus: &[(u64, f64)], network: &str) -> Vec<String> {
    let mut lines = vec![format!(
        r#"{{"all-reduce": "started", "backend": "{backend}", "torch": "{torch}"}}"#
    )];
    lines.push(r#"{"all-reduce": "met"}"#.into());
    lines.extend(network.lines().map(str::to_owned));
    for (size, bus) in bus {
        lines.push(format!(
            r#"{{"all-reduce": "measured", "size": {size}, "count": 9, "seconds": 0.1, "algorithm_gbps": {bus}, "bus_gbps": {bus}, "wrong": 0}}"#
        ));
    }
    lines.push(r#"{"all-reduce": "done"}"#.into());
    lines
}

fn read(bus: f64, network: &str) -> AllReduce {
    let sizes = [(1 << 20, 9.9), (1 << 30, bus)];
    let log = log("nccl", "2.11.0+cu130", &sizes, network);
    AllReduce::of(&[log.clone(), log]).expect("it came to its end")
}

/// Both rails of a wire that carries this much together.
fn wire(gbps: f64) -> Vec<Measured> {
    let measured = |rail, gbps| Measured {
        method: Method::Rdma,
        rail,
        from: Some(0),
        gbps,
    };
    let alone = gbps / 1.79;
    vec![
        measured(Some(0), alone),
        measured(Some(1), alone),
        measured(None, gbps),
    ]
}

fn judged(wire: &[Measured], all_reduce: &AllReduce) -> Verdict {
    let verdict = judge(wire, all_reduce).expect("something was measured");
    assert_eq!(verdict.says.matches(". ").count(), 0, "{}", verdict.says);
    assert_eq!(verdict.cure.is_empty(), verdict.state == LinkState::Good);
    verdict
}

#[test]
fn a_healthy_pair_is_good_and_its_road_is_told() {
    let all_reduce = read(186.9, IB);
    assert_eq!(
        all_reduce.transport(),
        "NCCL used RDMA over rocep1s0f1 and roceP2p1s0f1"
    );
    assert_eq!(all_reduce.gbps(), Some(186.9), "the largest message counts");
    let good = judged(&wire(196.0), &all_reduce);
    assert_eq!((good.state, good.gbps), (LinkState::Good, 186.9));
    assert_eq!((good.expected_low, good.expected_high), (175.0, 200.0));
    assert_eq!(good.method, Method::AllReduce);
}

#[test]
fn what_the_wire_carries_and_the_collective_does_not_is_no_fault_of_the_cable() {
    let crawl = judged(&wire(196.0), &read(24.0, IB));
    assert_eq!((crawl.state, crawl.gbps), (LinkState::HotPlug, 24.0));
    assert!(
        crawl
            .says
            .starts_with("The link alone carries 196 Gb/s, but")
    );
    assert!(crawl.cure.contains("restart both"), "{}", crawl.cure);
    let slow = judged(&wire(196.0), &read(60.0, IB));
    assert_eq!(slow.state, LinkState::Slow);
    assert!(slow.says.contains("196 Gb/s, but"), "{}", slow.says);
    for one_rail in [92.0, 109.0] {
        let verdict = judged(&wire(196.0), &read(one_rail, IB));
        assert_eq!(
            verdict.state,
            LinkState::OneRail,
            "no 100G cable carries 196"
        );
    }
}

#[test]
fn sockets_are_named_whatever_the_wire_is() {
    let sockets = read(15.9, SOCKETS);
    assert_eq!(sockets.transport(), "NCCL used TCP sockets");
    for carried in [196.0, 26.4] {
        let verdict = judged(&wire(carried), &sockets);
        assert_eq!(verdict.state, LinkState::SocketFallback);
        assert!(verdict.cure.contains("/dev/infiniband"));
    }
    // On one machine alone is enough: the slower end decides.
    let sizes = [(1 << 30, 16.0)];
    let ends = [IB, SOCKETS].map(|network| log("nccl", "2.11", &sizes, network));
    assert_eq!(AllReduce::of(&ends).and_then(|a| a.rdma), Some(false));
}

#[test]
fn a_crawling_wire_explains_a_crawling_collective() {
    let crawl = judged(&wire(26.4), &read(22.6, IB));
    assert_eq!(
        (crawl.state, crawl.method),
        (LinkState::HotPlug, Method::Rdma)
    );
}

#[test]
fn between_processors_only_the_wire_counts() {
    let log = log("gloo", STAND_IN, &[(1 << 26, 3.0)], "");
    let all_reduce = AllReduce::of(&[log.clone(), log]).expect("it came to its end");
    assert!(all_reduce.stand_in);
    assert_eq!(all_reduce.rdma, None);
    assert_eq!(
        judge(&wire(196.0), &all_reduce).map(|v| v.method),
        Some(Method::Rdma)
    );
    assert_eq!(
        judge(&[], &all_reduce),
        None,
        "there is nothing to hold it against"
    );
}

#[test]
fn a_log_is_read_as_far_as_it_goes() {
    let whole = log("nccl", "2.11", &[(1 << 20, 9.9)], IB);
    let cut = whole[..whole.len() - 1].to_vec();
    assert_eq!(AllReduce::of(&[whole.clone(), cut.clone()]), None);
    let read = AllReduceLog::of(cut.iter().map(String::as_str));
    assert!(read.met && !read.done && read.sizes.len() == 1);
    // NCCL's words and the program's may share a line.
    let mut log = AllReduceLog::default();
    assert!(log.push(r#"spark:1:1 [0] NCCL INFO x{"all-reduce": "met"} trailing"#));
    assert!(!log.push(r#"{"all-reduce": "unheard-of"}"#));
    assert!(!log.push(r#"{"all-reduce": "#));
    assert!(log.met);
}

#[test]
fn wrong_sums_are_counted_over_all_sizes() {
    let mut all_reduce = read(186.9, IB);
    all_reduce.sizes[0].wrong = 3;
    assert_eq!(all_reduce.wrong(), 3);
}

#[test]
fn nccls_newer_way_to_name_merged_devices_is_read_too() {
    let line = "x NCCL INFO NET/IB : Using [0]={[0] rocep1s0f1:1/RoCE, [1] roceP2p1s0f1:1/RoCE} [RO]; OOB enp1s0f1np1:192.168.100.15<0>";
    assert_eq!(devices(&[line.to_owned()]), ["rocep1s0f1", "roceP2p1s0f1"]);
}
