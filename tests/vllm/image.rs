//! The lab's second image: the real vLLM for a processor.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use sha2::{Digest as _, Sha256};
use tandem_tests::{ImageSpec, LayerSpec, holds, push};

/// Where its Python packages are.
const SITE: &str = "/usr/local/lib/python3.11/dist-packages";

/// Runs a program that has to succeed, its words on our stderr; gives back its stdout.
pub(crate) fn run(program: &Path, args: &[&str]) -> Result<String, String> {
    let what = || format!("`{}` did not succeed", program.display());
    let output = std::process::Command::new(program)
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("{}: {e}", what()))?;
    if !output.status.success() {
        return Err(format!("{}: {}", what(), output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The folder of this program's source, with its scripts.
pub(crate) fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vllm")
}

/// Makes the image's tree unless it is there already; gives back where it is.
pub(crate) fn tree() -> Result<PathBuf, String> {
    run(&here().join("image.sh"), &[]).map(PathBuf::from)
}

/// Environment of its processes.
fn environment() -> Vec<(String, String)> {
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![
        set("PATH", "/usr/local/bin:/usr/bin:/bin"),
        set("HOME", "/root"),
        // The processor's build wants Intel's OpenMP before any other.
        set("LD_PRELOAD", &format!("{SITE}/lib/libiomp5.so")),
        // Two machines share the box's few cores: one thread each, none bound, none spinning.
        set("OMP_NUM_THREADS", "1"),
        set("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
        set("KMP_BLOCKTIME", "1"),
        set("VLLM_CPU_KVCACHE_SPACE", "1"),
        set("TOKENIZERS_PARALLELISM", "false"),
        // Split over ranks, some small functions would want a C++ compiler, which is not there.
        set("TORCHDYNAMO_DISABLE", "1"),
    ]
}

/// The name of the image made of a tree and this environment. It goes through the mirror as Docker's own
/// names do.
fn name(tree: &Path) -> String {
    let mut hash = Sha256::new();
    hash.update(tree.to_string_lossy().as_bytes());
    for (name, value) in environment() {
        hash.update(format!("{name}={value}\n"));
    }
    format!("lab/vllm-cpu:{}", &hex::encode(hash.finalize())[..12])
}

/// Lays the image into the lab's registry unless it is there already.
pub(crate) async fn ensure(tree: &Path) -> Result<String, String> {
    let name = name(tree);
    if holds(&name) {
        return Ok(name);
    }
    eprintln!("vllm-image: laying it into the registry");
    let spec = ImageSpec {
        layers: vec![LayerSpec {
            name: "Debian and vLLM".to_owned(),
            folder: tree.to_owned(),
            gzip: false,
        }],
        entrypoint: vec!["vllm".to_owned(), "serve".to_owned()],
        env: environment(),
    };
    push(&name, &spec).await.map_err(|e| e.to_string())?;
    Ok(name)
}
