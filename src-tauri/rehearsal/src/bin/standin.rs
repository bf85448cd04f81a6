//! Installed as `vllm` and as `python3` in the images of the lab and of the rehearsal.

fn main() -> std::process::ExitCode {
    tandem_rehearsal::standin::main(std::env::args())
}
