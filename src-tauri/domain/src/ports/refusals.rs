//! Why Docker did not start a container with GPUs, by its own words, and what cures it.
//!
//! The words are those of Docker, runc and the NVIDIA Container Toolkit; the cures are those of the toolkit's guide
//! (<https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/troubleshooting.html>).

use crate::problem::{Code, Problem, Retry};

/// What did not happen.
const NO_GPU: &str = "Containers get no GPU on this machine.";

/// NVIDIA's runtime is not registered.
pub(super) fn no_runtime(known: &[String]) -> Problem {
    Problem::new(Code::MachineUnfit, NO_GPU)
        .cause(format!(
            "Docker does not know NVIDIA's runtime. Its runtimes are: {}.",
            known.join(", ")
        ))
        .fix_with(
            "Register it, then resume. Docker restarts, and with it every container that runs.",
            "sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker",
        )
        .retry(Retry::Now)
}

/// NVIDIA's runtime does not take what `--gpus` asks for.
pub(super) fn cdi_mode() -> Problem {
    Problem::new(Code::MachineUnfit, NO_GPU)
        .cause("NVIDIA's container runtime is set to the mode `cdi`, in which it refuses containers that ask for GPUs with `--gpus`.")
        .fix_with(
            "Let it choose the mode itself, then resume.",
            "sudo nvidia-ctk config --in-place --set nvidia-container-runtime.mode=auto",
        )
        .retry(Retry::Now)
}

/// The driver was updated under the kernel module that is loaded.
pub(super) fn driver_mismatch() -> Problem {
    Problem::new(Code::MachineUnfit, NO_GPU)
        .cause("NVIDIA's driver was updated, and the kernel still runs the version from before.")
        .fix_with("Restart the machine, then resume.", "sudo systemctl reboot")
        .retry(Retry::Now)
}

/// The image has no program for this processor.
fn wrong_platform() -> Problem {
    Problem::new(Code::ImagePull, "The image does not run on this machine.")
        .cause("It is not made for this machine's kind of processor.")
        .fix(
            "Choose an image under Choices that is published for it; a DGX Spark is `linux/arm64`.",
        )
}

/// The cause that Docker's refusal names; `None` where its words are not known.
pub(super) fn known(detail: &str) -> Option<Problem> {
    let says = |words: &str| detail.contains(words);
    if says("could not select device driver") && says("[[gpu]]") {
        return Some(no_runtime(&["others".into()]));
    }
    if says("invoking the NVIDIA Container Runtime Hook directly") {
        return Some(cdi_mode());
    }
    if says("driver/library version mismatch") {
        return Some(driver_mismatch());
    }
    let other_processor = ["exec format error", "no matching manifest for"];
    other_processor
        .iter()
        .any(|words| says(words))
        .then(wrong_platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_cure() {
        // The engine's answers, as people reported them.
        let cases = [
            (
                r#"could not select device driver "" with capabilities: [[gpu]]"#,
                "nvidia-ctk runtime configure",
            ),
            (
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error running prestart hook #0: exit status 1, stdout: , stderr: Using requested mode 'cdi'\ninvoking the NVIDIA Container Runtime Hook directly (e.g. specifying the docker --gpus flag) is not supported. Please use the NVIDIA Container Runtime (e.g. specify the --runtime=nvidia flag) instead",
                "nvidia-container-runtime.mode=auto",
            ),
            (
                "OCI runtime create failed: nvidia-container-cli: initialization error: nvml error: driver/library version mismatch: unknown",
                "reboot",
            ),
            (
                "no matching manifest for linux/arm64/v8 in the manifest list entries",
                "linux/arm64",
            ),
            ("exec /usr/bin/vllm: exec format error", "linux/arm64"),
        ];
        for (detail, cure) in cases {
            let problem = known(detail).expect("it is known");
            assert!(format!("{problem:?}").contains(cure), "{problem:?}");
        }
        assert_eq!(known("no space left on device"), None);
    }
}
