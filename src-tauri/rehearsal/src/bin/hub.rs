//! `tandem-hub --bind ADDRESS:PORT --repos DIR [--cdn-bind ADDRESS:PORT] [--synthetic GB]`
//!
//! Serves the repositories below DIR; the tiny checkpoints are written there first.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use tandem_rehearsal::checkpoint::{self, synthetic};
use tandem_rehearsal::hub::{Hub, HubConfig};

const USAGE: &str =
    "usage: tandem-hub --bind ADDRESS:PORT --repos DIR [--cdn-bind ADDRESS:PORT] [--synthetic GB]";

struct Options {
    config: HubConfig,
    synthetic: Option<f64>,
}

fn options() -> Result<Options, String> {
    let (mut bind, mut cdn, mut repos, mut size) = (None, None, None, None);
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        let bad = |e: &dyn std::fmt::Display| format!("{name} {value}: {e}");
        match name.as_str() {
            "--bind" => bind = Some(value.parse::<SocketAddr>().map_err(|e| bad(&e))?),
            "--cdn-bind" => cdn = Some(value.parse::<SocketAddr>().map_err(|e| bad(&e))?),
            "--repos" => repos = Some(PathBuf::from(value)),
            "--synthetic" => size = Some(value.parse::<f64>().map_err(|e| bad(&e))?),
            _ => return Err(format!("unknown option {name}")),
        }
    }
    let bind = bind.ok_or("--bind is missing")?;
    // The next port, so that a firewall or a test can know it.
    let next = (bind.port() != 0).then(|| SocketAddr::new(bind.ip(), bind.port().wrapping_add(1)));
    Ok(Options {
        config: HubConfig {
            bind,
            cdn: cdn.or(next),
            repos: repos.ok_or("--repos is missing")?,
        },
        synthetic: size,
    })
}

async fn run(options: Options) -> std::io::Result<()> {
    checkpoint::write_all(&options.config.repos)?;
    if let Some(gb) = options.synthetic {
        let made = synthetic::write_synthetic(&options.config.repos, (gb * 1e9) as u64)?;
        println!(
            "synthetic {} bytes, mtp {} bytes",
            made.bytes, made.mtp_bytes
        );
    }
    let hub = Hub::start(options.config).await?;
    println!(
        "listening on {} (CDN {})",
        hub.endpoint(),
        hub.cdn_address()
    );
    tandem_rehearsal::stopped().await
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(why) => {
            eprintln!("tandem-hub: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let done = tokio::runtime::Runtime::new().and_then(|rt| rt.block_on(run(options)));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tandem-hub: {error}");
            ExitCode::FAILURE
        }
    }
}
