//! What a Hub, its storage, a network or a proxy may answer instead of the weights.

use tandem_domain::node::NodeWork;
use tandem_domain::problem::Code;
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tandem_tests::{Link, Spark};

use crate::proxy::Proxy;
use crate::scene::{CHANGED, COMMIT, IN_FLIGHT, NEXT, Scene, told};

pub(crate) async fn a_page_comes_instead_of_a_listing_and_of_shards(scene: &Scene) {
    let job = scene.fresh("garbage").await;
    job.half().await;
    scene.fault(Fault::new(FaultKind::LoginPage).on(Side::Api));
    let problem = job.failed(&job.start().await).await;
    told(&problem, Code::HubUnreachable);
    assert!(problem.cause.unwrap().contains("login page"));
    scene.hub.faults().clear();
    scene.fault(Fault::new(FaultKind::LoginPage).on(Side::Cdn).times(6));
    job.completes().await;
    job.each_byte_once(1);
}

pub(crate) async fn bodies_are_short_and_connections_drop(scene: &Scene) {
    let job = scene.fresh("short").await;
    let short = FaultKind::ShortBody { missing: 100_000 };
    scene.fault(Fault::new(short).on(Side::Cdn).times(5));
    let drop = FaultKind::DropAfter { bytes: 300_000 };
    scene.fault(Fault::new(drop).on(Side::Cdn).times(5));
    job.completes().await;
    job.each_byte_once(1);
}

pub(crate) async fn a_shard_has_another_hash_than_announced(scene: &Scene) {
    let job = scene.fresh("hash").await;
    let bad = "model-00001-of-00006.safetensors";
    let wrong = Fault::new(FaultKind::WrongBytes).at(bad).on(Side::Cdn);
    scene.fault(wrong.clone());
    let problem = job.failed(&job.start().await).await;
    told(&problem, Code::HashMismatch);
    assert!(problem.message.contains(bad), "{problem}");
    job.nothing_wrong().await;
    // Once is an accident, which costs that file and is said.
    scene.hub.faults().clear();
    scene.fault(wrong.times(1));
    let before = scene.served_of(bad);
    let receipt = job.completes().await;
    let size = scene.sizes(COMMIT)[bad];
    assert_eq!(
        scene.served_of(bad) - before,
        2 * size,
        "the wrong one twice"
    );
    for (name, size) in scene.sizes(COMMIT) {
        let served = scene.served_of(&name);
        assert!(
            name == bad || served <= size + IN_FLIGHT,
            "{served} of {size} bytes of {name}, which was good"
        );
    }
    assert!(receipt.fetched > receipt.bytes(), "and it is counted");
}

pub(crate) async fn a_file_changes_under_its_name(scene: &Scene) {
    let job = scene.fresh("changed").await;
    let link = Link::Management(Spark::A);
    scene.lab.rate(link, Some(80)).await.unwrap();
    let started = job.start().await;
    scene.served_is(scene.total / 3).await;
    // Its address expires, and the fresh one names another content of the same commit.
    scene.fault(Fault::new(FaultKind::OtherContent));
    let gone = FaultKind::Status {
        status: 403,
        retry_after: None,
    };
    scene.fault(Fault::new(gone).on(Side::Cdn));
    let problem = job.failed(&started).await;
    told(&problem, Code::HashMismatch);
    assert!(problem.message.contains("changed"), "{problem}");
    job.nothing_wrong().await;
    scene.hub.faults().clear();
    // The branch moves while the download lies there unfinished: what did not change is good as it is.
    job.start().await;
    scene.served_is(scene.total * 2 / 3).await;
    job.cancel().await;
    scene.lab.rate(link, None).await.unwrap();
    scene.point(NEXT);
    let receipt = job.completes().await;
    assert_eq!(receipt.first.commit, NEXT);
    for (name, size) in scene.sizes(NEXT) {
        let served = scene.served_of(&name);
        let most = size + 2 * IN_FLIGHT + if name == CHANGED { size } else { 0 };
        assert!(served <= most, "{served} of {size} bytes of {name}");
    }
}

pub(crate) async fn signed_addresses_expire_on_the_way(scene: &Scene) {
    let job = scene.fresh("expired").await;
    let link = Link::Management(Spark::A);
    scene.lab.rate(link, Some(100)).await.unwrap();
    scene.fault(Fault::new(FaultKind::SignedFor { seconds: 1 }));
    job.completes().await;
    scene.lab.rate(link, None).await.unwrap();
    let expired = scene.hub.counters().read().expired;
    assert!(expired > 0, "addresses expired while it went on");
    job.each_byte_once(0);
}

pub(crate) async fn a_proxy_ignores_ranges(scene: &Scene) {
    let mut job = scene.fresh("proxy").await;
    job.half().await;
    let before: Vec<(String, u64)> = scene
        .sizes(COMMIT)
        .into_keys()
        .map(|name| (name.clone(), scene.served_of(&name)))
        .collect();
    let proxy = Proxy::start().await;
    if let NodeWork::Fetch(request) = &mut job.work {
        request.proxy = Some(proxy.address());
    }
    let unfinished = job.unfinished().await.len() / 2;
    job.completes().await;
    assert!(proxy.ranges() > 0, "ranges were asked for through it");
    // It gives whole files only: of those under way all comes again, and of finished ones nothing.
    let sizes = scene.sizes(COMMIT);
    let again = before.iter().filter(|(name, served)| {
        let more = scene.served_of(name) - served;
        assert!(
            *served < sizes[name] || more == 0,
            "{name} was there and {more} bytes of it came again"
        );
        more > 0
    });
    assert!(again.count() <= unfinished);
    // What was there of the unfinished ones, and what the sockets hold of an answer that a connection gives up
    // because another one takes the same file already, here and in the proxy.
    let unfinished = before
        .iter()
        .filter(|(name, served)| *served < sizes[name])
        .map(|(_, served)| served);
    let most = unfinished.sum::<u64>() + proxy.connections() * (512 << 10);
    let again = scene.served() - scene.total;
    println!("weights proxy: {again} bytes again, {most} may be");
    assert!(again <= most, "{again} bytes came again");
}
