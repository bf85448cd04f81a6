//! The tiny Step-3.7 in the lab's Hub, and how it has to be served without a GPU.

use std::path::Path;

use tandem_domain::procedure::request::SetupRequest;
use tandem_rehearsal::checkpoint::texts;
use tandem_tests::bed;

use crate::image::{here, run};

/// With the MTP layers.
pub(crate) const WHOLE: &str = "lab/Step-3.7-tiny-BF16";
/// As the first NVFP4 release was: without them, its lists cut.
const WITHOUT: &str = "lab/Step-3.7-tiny";

/// Makes both repositories below `repos`, with the Python and PyTorch of the image.
pub(crate) fn write(tree: &Path, repos: &Path) -> Result<(), String> {
    let io = |e: std::io::Error| format!("the checkpoint was not written: {e}");
    std::fs::create_dir_all(repos).map_err(io)?;
    std::fs::create_dir_all(tree.join("mnt")).map_err(io)?;
    let text = include_str!("../../src-tauri/domain/src/bench/prompt.txt");
    let (program, prompt) = (repos.join("checkpoint.py"), repos.join("prompt.txt"));
    std::fs::copy(here().join("checkpoint.py"), &program).map_err(io)?;
    std::fs::write(&prompt, text).map_err(io)?;
    let inside = r#"mount --bind /dev "$2/dev" && mount --bind "$1" "$2/mnt" && exec chroot "$2" python3 /mnt/checkpoint.py /mnt /mnt/prompt.txt"#;
    let (from, to) = (repos.to_string_lossy(), tree.to_string_lossy());
    let args = ["--mount", "sh", "-c", inside, "sh", &from, &to];
    eprintln!("{}", run(Path::new("unshare"), &args)?);
    std::fs::remove_file(program).map_err(io)?;
    std::fs::remove_file(prompt).map_err(io)?;
    put(repos, WHOLE, texts::CONFIGURATION_WHOLE)?;
    put(repos, WITHOUT, &texts::configuration_truncating())
}

fn put(repos: &Path, repo: &str, configuration: &str) -> Result<(), String> {
    let folder = repos.join(repo);
    let io = |e: std::io::Error| format!("`{}` was not completed: {e}", folder.display());
    let commit = std::fs::read_to_string(folder.join("refs/main")).map_err(io)?;
    let file = folder.join(commit.trim()).join("configuration_step3p7.py");
    std::fs::write(file, configuration).map_err(io)
}

/// The lab's choices with this model and image.
pub(crate) fn request(hub: String, image: String) -> SetupRequest {
    let args = [
        "--enforce-eager",
        "--dtype",
        "bfloat16",
        "--max-num-batched-tokens",
        "2048",
        "--max-num-seqs",
        "4",
        // Its eyes are as tiny as the rest and see nothing.
        "--limit-mm-per-prompt",
        r#"{"image":0}"#,
        "--enable-auto-tool-choice",
        "--tool-call-parser",
        "step3p5",
        "--reasoning-parser",
        "step3p5",
    ];
    let mut request = bed::request(hub);
    for (id, value) in [
        ("repo", WITHOUT),
        ("revision", "main"),
        ("donor_repo", WHOLE),
        ("donor_revision", "main"),
        ("image", &image),
        ("served_name", "Step-3.7-tiny"),
    ] {
        request.choices.set(id, value.into());
    }
    let args: Vec<String> = args.map(str::to_owned).to_vec();
    request.choices = request
        .choices
        .with("context", 4096_u32)
        // What is taken is what the image's environment says; the share has to be free all the same.
        .with("memory_share", 0.2)
        .with("args", args)
        .with("ready_timeout_s", 600_u32);
    request
}
