//! Which way serves: what the image and the revision tell, the changed file where one is needed, and a
//! note of all that beside what was made, by which a later run finds it done.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::checkpoint::{CheckpointError, config, index};
use crate::container::{ContainerSpec, LABEL};
use crate::graft::mtp_method::{MtpMethod, Need, PROBE_SCRIPT, Revision, Vllm, need, propose};
use crate::graft::patch::{DRAFTER, PatchFile};
use crate::graft::{patch, python};
use crate::ports::{Command, ContainerError, MachineServices, RemoteFile};
use crate::problem::{Code, Problem};
use crate::recipe::plan::LaunchPlan;
use crate::run::StepError;
use crate::step::machines::failed_on;
use crate::step::owned;
use crate::step::services::StepContext;

/// The container that prints what is in an image. It is there for a moment only.
pub(super) const LOOKER: &str = "tandem-look";
/// How long it may take: a program that has to be asked loads all of PyTorch first.
const LOOK_SECONDS: u64 = 180;
const NOTE: &str = "choice.json";
const FILE: &str = "step3p5_mtp.py";

/// What was chosen, as it is kept on every machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The way.
    pub(super) way: MtpMethod,
    /// The vLLM that was found in the image.
    pub(super) vllm: Option<String>,
    /// Why this way.
    pub(super) reason: String,
    /// The changed file.
    pub(super) patch: Option<PatchFile>,
}

/// What was chosen, before it is written anywhere.
pub(super) struct Choice {
    pub(super) way: MtpMethod,
    pub(super) vllm: Option<String>,
    pub(super) reason: String,
    /// The changed text and its place in the image.
    pub(super) change: Option<(patch::Patched, patch::PatchKind, String)>,
}

/// The folder of the note and the changed file: one for each image, revision and wish.
pub(super) fn folder(hf_home: &str, image: &str, commit: &str, asked: Option<MtpMethod>) -> String {
    let short = |of: &str| of.chars().take(12).collect::<String>();
    let wish = match asked {
        None => "proposed",
        Some(MtpMethod::BuiltIn) => "built-in",
        Some(MtpMethod::Overlay) => "overlay",
        Some(MtpMethod::Draft) => "draft",
    };
    let image = short(image.trim_start_matches("sha256:"));
    format!("{hf_home}/tandem/mtp/{image}-{}-{wish}", short(commit))
}

/// Looks into the image and at the revision, and chooses. Makes and removes one container on the head.
pub(super) async fn choose(
    cx: &StepContext,
    launch: &LaunchPlan,
    asked: Option<MtpMethod>,
    snapshot: &str,
) -> Result<Choice, StepError> {
    let head = &cx.machines[0];
    let vllm = vllm_of_image(cx, head, &launch.image.name).await?;
    let revision = revision(head, snapshot).await?;
    let mendable = |way| match need(way, &vllm, &revision) {
        Need::Change(kind) => {
            vllm.folder.is_some()
                && vllm
                    .text
                    .as_deref()
                    .is_some_and(|text| patch::apply(text, kind).is_ok())
        }
        _ => false,
    };
    let proposal = propose(&vllm, &revision, mendable(MtpMethod::BuiltIn));
    let (way, reason) = match asked {
        Some(way) => (way, "It was chosen.".to_owned()),
        None => (proposal.way, proposal.reason.clone()),
    };
    cx.log(None, format!("MTP: {way:?}. {reason}"));
    let change = change(&vllm, &revision, way).map_err(|cause| {
        Problem::new(
            Code::MtpMissing,
            "MTP cannot be served this way with this image.",
        )
        .cause(cause)
        .fix("Choose a draft of its own under Choices, or an image with vLLM 0.27.0 or newer.")
        .on(head.name.clone())
    })?;
    if let Some((patched, kind, target)) = &change {
        cx.log(
            None,
            format!(
                "{target} is changed from outside: it {}. sha256 {} becomes {}.",
                kind.purpose(),
                patched.before,
                patched.after
            ),
        );
    }
    Ok(Choice {
        way,
        vllm: vllm.version,
        reason,
        change,
    })
}

/// The change that a way needs; the error says why it cannot be had.
fn change(
    vllm: &Vllm,
    revision: &Revision,
    way: MtpMethod,
) -> Result<Option<(patch::Patched, patch::PatchKind, String)>, String> {
    let Need::Change(kind) = need(way, vllm, revision) else {
        // Where it is unclear the server is tried: a text that nobody looked at may well be newer.
        return Ok(None);
    };
    let (Some(folder), Some(text)) = (&vllm.folder, &vllm.text) else {
        return Err(format!(
            "Its vLLM needs a change of {DRAFTER}, and that file was not found in the image."
        ));
    };
    let patched = patch::apply(text, kind)
        .map_err(|e| format!("Its vLLM needs a change of one file, and {e}."))?;
    Ok(Some((patched, kind, format!("{folder}/{DRAFTER}"))))
}

async fn vllm_of_image(
    cx: &StepContext,
    head: &MachineServices,
    image: &str,
) -> Result<Vllm, StepError> {
    let on = |e: ContainerError| e.problem(&head.name, &head.user);
    let what = "The image was not looked into.";
    owned::clear(head, LOOKER, what).await?;
    let spec = ContainerSpec {
        name: LOOKER.into(),
        image: image.to_owned(),
        entrypoint: Some(vec!["sh".into(), "-c".into()]),
        command: vec![PROBE_SCRIPT.into()],
        labels: vec![(LABEL.into(), "look".into())],
        ..ContainerSpec::default()
    };
    match head.containers.start(&spec).await {
        Ok(_) => {}
        Err(ContainerError::Refused { detail, .. }) => {
            cx.log(Some(&head.name), format!("{what} {detail}"));
            return Ok(Vllm::read(&[]));
        }
        Err(e) => return Err(on(e).into()),
    }
    let looked = cx
        .unless_cancelled(async {
            let began = cx.clock.monotonic();
            while owned::find(head, LOOKER).await?.is_some_and(|s| s.running) {
                let waited = cx.clock.monotonic().saturating_sub(began);
                if waited.as_secs() >= LOOK_SECONDS {
                    cx.log(Some(&head.name), format!("{what} It took too long."));
                    return Ok(Vec::new());
                }
                cx.clock.wait(std::time::Duration::from_millis(100)).await;
            }
            Ok(head.containers.logs(LOOKER, 10_000).await.map_err(on)?)
        })
        .await;
    let removed = owned::remove(head, LOOKER).await;
    let lines = looked?;
    removed?;
    Ok(Vllm::read(&lines))
}

async fn revision(head: &MachineServices, snapshot: &str) -> Result<Revision, StepError> {
    let read = async |name: &str| -> Result<Option<Vec<u8>>, StepError> {
        let path = format!("{snapshot}/{name}");
        let read = head.shell.read(&path, false).await;
        read.map_err(failed_on(head))
    };
    let shape = |e: CheckpointError| {
        Problem::new(
            Code::GraftUnknownShape,
            "The revision's MTP layers were not looked for.",
        )
        .cause(format!("{e}."))
        .fix("Fetch the weights again, or serve without MTP.")
        .on(head.name.clone())
    };
    let configuration = read(config::FILE).await?.unwrap_or_default();
    let configuration = config::parse(config::FILE, &configuration).map_err(shape)?;
    let layers = config::layers(&configuration).map_err(shape)?;
    let index = read(index::FILE).await?.unwrap_or_default();
    let index = index::parse(&index).map_err(shape)?;
    let quantization: Option<Value> = read(config::QUANT_FILE)
        .await?
        .and_then(|text| serde_json::from_slice(&text).ok());
    let code = read(python::FILE).await?;
    let code = code.map(|text| String::from_utf8_lossy(&text).into_owned());
    Ok(Revision::read(
        &configuration,
        quantization.as_ref(),
        layers,
        &index,
        code.as_deref(),
    ))
}

/// Writes the note and the changed file. Safe to repeat.
pub(super) async fn keep(
    machine: &MachineServices,
    folder: &str,
    choice: &Choice,
) -> Result<Note, StepError> {
    let write = async |name: &str, content: Vec<u8>| -> Result<(), StepError> {
        let file = RemoteFile {
            path: format!("{folder}/{name}"),
            content,
            mode: 0o644,
            sudo: false,
        };
        let written = machine.shell.write(&file).await;
        written.map_err(failed_on(machine))
    };
    let mut note = Note {
        way: choice.way,
        vllm: choice.vllm.clone(),
        reason: choice.reason.clone(),
        patch: None,
    };
    if let Some((patched, kind, target)) = &choice.change {
        write(FILE, patched.text.clone().into_bytes()).await?;
        note.patch = Some(PatchFile {
            source: format!("{folder}/{FILE}"),
            target: target.clone(),
            kind: *kind,
            before: patched.before.clone(),
            after: patched.after.clone(),
        });
    }
    // Last, so that a note stands for everything it speaks of.
    let text = serde_json::to_vec_pretty(&note).expect("a note is plain data");
    write(NOTE, text).await?;
    Ok(note)
}

/// The note of an earlier run, if what it speaks of is still there.
pub(super) async fn kept(
    machine: &MachineServices,
    folder: &str,
) -> Result<Option<Note>, StepError> {
    let path = format!("{folder}/{NOTE}");
    let text = machine.shell.read(&path, false).await;
    let text = text.map_err(failed_on(machine))?;
    let note: Option<Note> = text.and_then(|text| serde_json::from_slice(&text).ok());
    let Some(note) = note else {
        return Ok(None);
    };
    match &note.patch {
        Some(patch) if !is_whole(machine, patch).await? => Ok(None),
        _ => Ok(Some(note)),
    }
}

/// Whether a changed file is on the machine as it was written.
pub(super) async fn is_whole(
    machine: &MachineServices,
    patch: &PatchFile,
) -> Result<bool, StepError> {
    let text = machine.shell.read(&patch.source, false).await;
    let text = text.map_err(failed_on(machine))?;
    Ok(text.is_some_and(|text| patch::sha256(&text) == patch.after))
}

/// Removes the note and the changed file, and the folders above them that are then empty.
pub(super) async fn forget(machine: &MachineServices, folder: &str) -> Result<(), StepError> {
    let failed = failed_on(machine);
    let files = [NOTE, FILE].map(|name| format!("{folder}/{name}"));
    let [note, file] = files;
    let remove = Command::new("rm", ["-f".to_owned(), "--".to_owned(), note, file]);
    machine.shell.exec(&remove).await.map_err(failed)?;
    let above = folder.rsplit_once('/').map_or("", |(above, _)| above);
    let top = above.rsplit_once('/').map_or("", |(top, _)| top);
    for folder in [folder, above, top] {
        // One that is not empty holds what others put there.
        let remove = Command::new("rmdir", ["--", folder]);
        machine.shell.exec(&remove).await.map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graft::mtp_method::{Drafter, Experts};

    #[test]
    fn an_unknown_text_is_refused_with_its_hash_and_not_where_no_change_is_needed() {
        let vllm = |drafter| Vllm {
            version: Some("0.25.1".into()),
            folder: Some("/v/vllm".into()),
            text: Some("class Changed: ...\n".into()),
            drafter,
        };
        let revision = Revision {
            has_layers: Some(true),
            experts: Experts::ModelOpt,
        };
        let faulty = vllm(Drafter::Faulty);
        let cause = change(&faulty, &revision, MtpMethod::BuiltIn).unwrap_err();
        assert!(
            cause.contains(&patch::sha256(b"class Changed: ...\n")),
            "{cause}"
        );
        let no_file = Vllm {
            text: None,
            ..faulty.clone()
        };
        assert!(change(&no_file, &revision, MtpMethod::Overlay).is_err());
        assert_eq!(change(&faulty, &revision, MtpMethod::Draft), Ok(None));
        for drafter in [Drafter::Sound, Drafter::Unknown] {
            let vllm = vllm(drafter);
            assert_eq!(change(&vllm, &revision, MtpMethod::BuiltIn), Ok(None));
        }
    }

    #[test]
    fn each_wish_has_a_folder_of_its_own() {
        let of = |asked| folder("/h", "sha256:0123456789abcdef", "4275532ffd9a9496", asked);
        assert_eq!(of(None), "/h/tandem/mtp/0123456789ab-4275532ffd9a-proposed");
        let all = [
            None,
            Some(MtpMethod::BuiltIn),
            Some(MtpMethod::Overlay),
            Some(MtpMethod::Draft),
        ];
        let folders: std::collections::BTreeSet<String> = all.into_iter().map(of).collect();
        assert_eq!(folders.len(), 4);
    }
}
