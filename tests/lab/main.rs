//! `lab up`, `lab down`, `lab status`: the two machines for a person to play with.

use std::process::ExitCode;
use std::time::Instant;

use tandem_tests::{
    BOX_ADDRESS, HUB_PORT, Lab, LabError, PASSWORD, REGISTRY, Spark, Standing, USER,
};

const USAGE: &str = "lab up | down | status | prepare

  up      makes two fresh machines and boots them; an earlier lab is removed
  down    removes the machines, their disks and their cables
  status  says whether they are up
  prepare makes what machines start from, as far as it is missing

Needs Linux and root. What is kept between runs is in ${TANDEM_LAB_CACHE:-/var/cache/tandem-lab}.";

#[tokio::main]
async fn main() -> ExitCode {
    let done = match std::env::args().nth(1).as_deref() {
        Some("up") => up().await,
        Some("down") => Lab::down().await,
        Some("prepare") => Lab::prepare(&|line| eprintln!("lab: {line}")).await,
        Some("status") => {
            println!("{}", in_words(Lab::status().await));
            Ok(())
        }
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("lab: {e}");
            ExitCode::FAILURE
        }
    }
}

async fn up() -> Result<(), LabError> {
    let start = Instant::now();
    Lab::up(&|line| eprintln!("lab: {line}")).await?;
    println!(
        "The lab is up after {:.1} s.",
        start.elapsed().as_secs_f64()
    );
    for spark in Spark::BOTH {
        println!(
            "  {}  ssh {USER}@{}  password {PASSWORD}",
            spark.name(),
            spark.address()
        );
    }
    println!("  The machines reach this box as {BOX_ADDRESS}; images come from {REGISTRY},");
    println!("  and the Hub is http://{BOX_ADDRESS}:{HUB_PORT}.");
    Ok(())
}

fn in_words(standing: Standing) -> &'static str {
    match standing {
        Standing::Down => "The lab is down.",
        Standing::Up => "The lab is up.",
        Standing::Broken => "The lab is neither up nor down; `lab down` clears it away.",
    }
}
