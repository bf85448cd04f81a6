//! The container of llama.cpp's server.

use crate::artifact::Artifact;
use crate::container::{ContainerSpec, SERVER, fabric};
use crate::engine::OnDisk;
use crate::engine::cache::{folder_of, inside, shared_store};
use crate::problem::{Code, Problem};
use crate::recipe::plan::LaunchPlan;
use crate::recipe::{MODEL_FOLDER, Variant};
use crate::shell::as_words;

/// Why the writer below gives each word of its own.
pub(super) const EXPLAINED: &[(&str, &str)] = &[
    (
        "model",
        "The file is read from its repository's folder in the machine's Hugging Face cache.",
    ),
    (
        "-m",
        "The first part of the chosen quantisation; the server finds the others beside it.",
    ),
    (
        "--alias",
        "Requests name the model so, whatever its file is called.",
    ),
    (
        "-c",
        "The context is always named, so that the forecast of memory holds.",
    ),
    ("-ngl", "Every layer is computed on the GPU."),
    (
        "--host",
        "The API listens on loopback; the app reaches it through its SSH tunnel.",
    ),
    ("--port", "The port that was chosen for the API."),
    (
        "--metrics",
        "The counters of the server are read while it serves.",
    ),
    (
        "--no-webui",
        "The server's own page is not used, and no page of a browser may reach it.",
    ),
    (
        "image",
        "The project's own image with CUDA 13, which is built for ARM64 too.",
    ),
];

/// See [`Engine::container`](crate::engine::Engine::container).
pub(super) fn container(
    plan: &LaunchPlan,
    variant: &Variant,
    found: &OnDisk<'_>,
) -> Result<ContainerSpec, Problem> {
    let facts = found.facts;
    let folder = inside(facts, found.snapshot)?;
    let file = opened(plan.served()).ok_or_else(|| {
        Problem::new(Code::BadInput, "The model server was not started.")
            .cause(format!(
                "{} does not say which GGUF file is opened.",
                plan.title
            ))
            .fix("Choose another recipe.")
    })?;
    let mut mounts = vec![folder_of(facts, found.snapshot)?];
    if found.shared_store {
        mounts.push(shared_store(facts));
    }
    Ok(ContainerSpec {
        name: SERVER.into(),
        image: plan.image.name.clone(),
        entrypoint: Some(vec!["/app/llama-server".into()]),
        command: arguments(plan, variant, &folder, file),
        env: plan.env.clone(),
        mounts,
        key_variable: Some("LLAMA_API_KEY".into()),
        ..fabric::container(false)
    })
}

/// The GGUF file that is opened: the first that the artifact names in full. Parts of one model follow it.
fn opened(artifact: &Artifact) -> Option<&str> {
    let whole = |name: &&String| name.ends_with(".gguf") && !name.contains(['*', '?', '[']);
    artifact
        .files
        .include
        .iter()
        .find(whole)
        .map(String::as_str)
}

/// See [`Engine::shown`](crate::engine::Engine::shown). What only the machine can tell stands in capitals.
pub(super) fn shown(plan: &LaunchPlan, variant: &Variant) -> String {
    let file = opened(plan.served()).unwrap_or("FILE");
    let args = arguments(plan, variant, "MODEL", file);
    format!("llama-server {}", as_words(&args))
}

fn arguments(plan: &LaunchPlan, variant: &Variant, folder: &str, file: &str) -> Vec<String> {
    let mut args: Vec<String> = Vec::new();
    let mut option = |name: &str, value: String| args.extend([name.to_owned(), value]);
    option("-m", format!("{folder}/{file}"));
    option("--alias", plan.served_name.clone());
    option("-c", plan.context.to_string());
    option("-ngl", "999".into());
    option("--host", "127.0.0.1".into());
    option("--port", plan.api_port.to_string());
    args.extend(["--metrics", "--no-webui"].map(str::to_owned));
    let own = variant.over(&plan.args).into_iter();
    args.extend(own.map(|word| word.replace(MODEL_FOLDER, folder)));
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::artifact::{ArtifactRole, Selection};
    use crate::launch::samples;
    use crate::machine::Facts;

    fn plan(include: &[&str]) -> LaunchPlan {
        let mut plan = samples::plan(1, None);
        plan.graft = None;
        plan.args = vec!["-fa".into(), "on".into()];
        plan.artifacts = vec![Artifact {
            role: ArtifactRole::Served,
            repo: "o/n".into(),
            revision: "main".into(),
            files: Selection {
                include: include.iter().map(|p| (*p).to_owned()).collect(),
                exclude: Vec::new(),
            },
        }];
        plan
    }

    fn launched(include: &[&str]) -> Result<ContainerSpec, Problem> {
        let facts = Facts {
            hf_home: "/h".into(),
            ..Facts::default()
        };
        let found = samples::on_disk(&facts, "/h/hub/models--o--n/snapshots/c");
        container(&plan(include), &Variant::default(), &found)
    }

    #[test]
    fn the_first_part_of_the_chosen_file_is_opened_and_the_api_stays_on_loopback() {
        let spec = launched(&[
            "*.json",
            "Q4/a-00001-of-00002.gguf",
            "Q4/a-00002-of-00002.gguf",
        ])
        .expect("it can be");
        let words = spec.command.join(" ");
        assert!(
            words.starts_with(
                "-m /root/.cache/huggingface/hub/models--o--n/snapshots/c/Q4/a-00001-of-00002.gguf "
            ),
            "{words}"
        );
        assert!(
            words.contains("--host 127.0.0.1") && words.ends_with("-fa on"),
            "{words}"
        );
        assert_eq!(spec.mounts.len(), 1);
        assert!(spec.mounts[0].read_only);
        assert_eq!(spec.key_variable.as_deref(), Some("LLAMA_API_KEY"));
    }

    #[test]
    fn patterns_alone_name_no_file_to_open() {
        assert_eq!(launched(&["Q4/*.gguf"]).unwrap_err().code, Code::BadInput);
    }
}
