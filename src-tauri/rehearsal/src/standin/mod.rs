//! A stand-in for vLLM: `vllm serve` with its flags, its log, its API and its metrics, and no model.
//!
//! It is strict. It reads the checkpoint it is given (configuration, index, every header) and fails
//! where the real one fails, with the same words; two ranks really meet over TCP, and a lost one
//! hangs the other as it does on two Sparks. It says in its banner, in `/version` and in its answers
//! that it is a stand-in. `TANDEM_STANDIN_PACE` makes it that many times faster.

mod answer;
mod api;
pub mod args;
mod engine;
mod image;
mod link;
mod log;
mod metrics;
mod model;
mod mtp;
mod python;
mod speech;
mod startup;

use std::path::Path;
use std::process::ExitCode;

use tokio_util::sync::CancellationToken;

use args::Args;

/// The name under which an image also has it, in the place of a Python with PyTorch.
pub const PYTHON: &str = "python3";

/// The whole program, with the name it was started by first.
pub fn main(args: impl IntoIterator<Item = String>) -> ExitCode {
    let mut args = args.into_iter();
    let name = args.next().unwrap_or_default();
    let args: Vec<String> = args.collect();
    if Path::new(&name).file_name().is_some_and(|n| n == PYTHON) {
        return python::main(&args);
    }
    if args.iter().any(|a| a == "--version") {
        println!("{}", api::VERSION);
        return ExitCode::SUCCESS;
    }
    let args = match Args::parse(args) {
        Ok(args) => args,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::from(2);
        }
    };
    let Ok(runtime) = tokio::runtime::Runtime::new() else {
        return ExitCode::FAILURE;
    };
    let code = runtime.block_on(async {
        tokio::select! {
            ended = startup::run(args, CancellationToken::new()) => match ended {
                Ok(()) => ExitCode::SUCCESS,
                Err(failure) => {
                    failure.print();
                    ExitCode::FAILURE
                }
            },
            _ = crate::stopped() => {
                println!("INFO:     Application shutdown complete.");
                ExitCode::SUCCESS
            }
        }
    });
    // Threads that still read a file must not delay the end.
    runtime.shutdown_background();
    code
}
