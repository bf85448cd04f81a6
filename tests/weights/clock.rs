//! A clock that is wrong. The machines of the lab share the box's clock, and Linux gives no container a time of
//! day of its own, so it is the other side whose clock differs here: only the difference is ever seen. It is
//! seen in certificates, in dates of `Retry-After`, and, between the Hub and its storage, in signed addresses.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tandem_domain::node::NodeWork;
use tandem_domain::problem::Code;
use tandem_rehearsal::hub::faults::{Fault, FaultKind, Side};
use tandem_tests::{BOX_ADDRESS, until};
use tokio::process::{Child, Command};

use crate::scene::{Scene, told};

/// A port for the Hub with a certificate out of its time.
const PORT: u16 = 8443;
/// From when until when a certificate is valid: as a machine sees it whose clock is ahead, or behind.
const TIMES: [(&str, &str); 2] = [
    ("20010101000000Z", "20020101000000Z"),
    ("20900101000000Z", "20910101000000Z"),
];
const AUTHORITY: &str = "[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nserial=serial\n\
    default_md=sha256\npolicy=p\nx509_extensions=x\n[p]\ncommonName=supplied\n\
    [x]\nsubjectAltName=IP:10.77.0.1\n";

pub(crate) async fn it_is_wrong(scene: &Scene) {
    let mut job = scene.fresh("clock").await;
    job.half().await;
    let kept = scene.served();
    let right = job.work.clone();
    if let NodeWork::Fetch(request) = &mut job.work {
        request.endpoint = format!("https://{BOX_ADDRESS}:{PORT}");
    }
    for (from, to) in TIMES {
        let folder = tempfile::tempdir().unwrap();
        let _hub = out_of_time(folder.path(), from, to).await;
        let problem = job.failed(&job.start().await).await;
        told(&problem, Code::HubUnreachable);
        assert!(
            problem.cause.as_ref().unwrap().contains("clock"),
            "{problem}"
        );
        let command = problem.fix.unwrap().command.unwrap();
        assert!(command.contains("timedatectl"), "{command}");
    }
    assert_eq!(scene.served(), kept, "nothing came");
    job.work = right;
    // A date to wait for is one of the Hub's clock, in another century than the machine's.
    let busy = FaultKind::BusyByDate { seconds: 2 };
    scene.fault(Fault::new(busy).on(Side::Cdn).times(4));
    let began = Instant::now();
    job.completes().await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(2), "it did not wait: {took:?}");
    job.each_byte_once(1);

    // Signed addresses that are expired as they come: the storage's clock, which the program cannot mend.
    let job = scene.fresh("clock-there").await;
    scene.fault(Fault::new(FaultKind::ExpiredUrls));
    let problem = job.failed(&job.start().await).await;
    told(&problem, Code::HubUnreachable);
    assert!(problem.cause.unwrap().contains("403"));
    scene.hub.faults().clear();
    job.completes().await;
    job.each_byte_once(0);
}

/// A server for HTTPS whose certificate is good in other years. It ends when it is dropped.
async fn out_of_time(folder: &Path, from: &str, to: &str) -> Child {
    std::fs::write(folder.join("ca.cnf"), AUTHORITY).unwrap();
    std::fs::write(folder.join("index"), "").unwrap();
    std::fs::write(folder.join("serial"), "01\n").unwrap();
    let subject = format!("/CN={BOX_ADDRESS}");
    let sign = format!(
        "ca -config ca.cnf -selfsign -keyfile key -in request -out cert -startdate {from} -enddate {to} -batch -notext"
    );
    let make = format!("req -newkey rsa:2048 -nodes -keyout key -out request -subj {subject}");
    for line in [make, sign] {
        let done = Command::new("openssl")
            .args(line.split(' '))
            .current_dir(folder)
            .output();
        let done = done.await.expect("openssl is installed");
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(done.status.success(), "openssl {line}: {said}");
    }
    let address = format!("{BOX_ADDRESS}:{PORT}");
    let server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &address])
        .args(["-cert", "cert", "-key", "key"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until("the server to listen", Duration::from_secs(10), || async {
        tokio::net::TcpStream::connect(&address).await.ok()
    })
    .await
    .unwrap();
    server
}
