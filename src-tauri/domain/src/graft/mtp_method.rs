//! Which of three ways to MTP serves best with an image and a revision, and why.
//!
//! - **Built in**: the revision has the layers; the server is given nothing but the number of tokens.
//! - **Overlay**: a checkpoint beside the snapshot, in which the layers were added.
//! - **Draft**: the layers and the embedding as a checkpoint of their own, unquantized, beside which the
//!   snapshot is served as it is.
//!
//! All three draft with the same tensors. They differ in what must be fetched and in what the vLLM of
//! the image can do: releases before 0.27.0 (PR 48883) cannot load BF16 heads beside NVFP4 experts from
//! one checkpoint, and read a draft's own quantization since 0.23.0.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::plan::{Standing, standing};
use super::python;
use super::rewrite;
use crate::checkpoint::config::Text;
use crate::checkpoint::index::Index;
use crate::graft::patch::{self, PatchKind};

/// See the module.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
#[serde(rename_all = "kebab-case")]
pub enum MtpMethod {
    /// With the layers of the revision itself.
    BuiltIn,
    /// With a checkpoint beside the snapshot. A revision that has the layers is served as it is.
    #[default]
    Overlay,
    /// With a draft directory.
    Draft,
}

/// How an image's vLLM reads BF16 layers beside quantized ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Drafter {
    /// As they are stored: it has the change of PR 48883.
    Sound,
    /// Their heads as if they were quantized.
    Faulty,
    /// It is not known.
    Unknown,
}

/// What is known of the vLLM in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vllm {
    /// As it calls itself, e.g. `0.33.0`.
    pub version: Option<String>,
    /// The folder of its package in the image.
    pub folder: Option<String>,
    /// The text of its [`patch::DRAFTER`].
    pub text: Option<String>,
    /// See [`Drafter`].
    pub drafter: Drafter,
}

/// The commit of the image `vllm/vllm-openai:stepfun37`, which has no release's number.
const STEPFUN37: &str = "e9c8946e7";

/// What a version says of the drafter.
fn of_version(version: &str) -> Drafter {
    if version.contains(STEPFUN37) {
        return Drafter::Faulty;
    }
    let plain = version.split('+').next().unwrap_or_default();
    let mut parts = plain.split('.').map(str::parse::<u32>);
    // A number that is no plain one belongs to something between two releases.
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(_)), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Drafter::Unknown;
    };
    match (major, minor) {
        (0, ..21) => Drafter::Unknown,
        (0, 21..27) => Drafter::Faulty,
        _ => Drafter::Sound,
    }
}

impl Vllm {
    /// What the name of an image tells before the image is there.
    pub fn of_name(image: &str) -> Self {
        let name = image.split('@').next().unwrap_or_default();
        let tag = name
            .rsplit('/')
            .next()
            .and_then(|last| last.split_once(':'))
            .map_or("", |(_, tag)| tag);
        let version = match tag {
            "stepfun37" => Some(format!("0.1.dev16944+g{STEPFUN37}")),
            _ => tag
                .strip_prefix('v')
                .filter(|v| v.starts_with(|c: char| c.is_ascii_digit()))
                .map(|v| v.split('-').next().unwrap_or(v).to_owned()),
        };
        Self {
            drafter: version.as_deref().map_or(Drafter::Unknown, of_version),
            version,
            folder: None,
            text: None,
        }
    }

    /// Reads what [`PROBE_SCRIPT`] printed. What cannot be read is not known, and no error.
    pub fn read(lines: &[String]) -> Self {
        let mut folder = None;
        let mut version = None;
        let mut text: Option<String> = None;
        let mut whole = false;
        for line in lines {
            if let Some(text) = text.as_mut().filter(|_| !whole) {
                if line == TEXT_ENDS {
                    whole = true;
                } else {
                    text.push_str(line);
                    text.push('\n');
                }
            } else if let Some(path) = line.strip_prefix(FOLDER_IS) {
                folder = Some(path.trim().to_owned());
            } else if line == TEXT_BEGINS {
                text = Some(String::new());
            } else if version.is_none() {
                version = of_line(line);
            }
        }
        let text = text.filter(|_| whole);
        let known = text.as_deref().and_then(patch::known);
        let drafter = match (known, &text, version.as_deref()) {
            (Some(known), ..) if known.sound => Drafter::Sound,
            (Some(_), ..) => Drafter::Faulty,
            // Somebody changed a release's file: its number says nothing about it.
            (None, Some(_), _) | (None, None, None) => Drafter::Unknown,
            (None, None, Some(version)) => of_version(version),
        };
        Self {
            version,
            folder,
            text,
            drafter,
        }
    }

    fn named(&self) -> String {
        match &self.version {
            Some(version) => format!("vLLM {version}"),
            None => "the vLLM of this image".to_owned(),
        }
    }
}

const FOLDER_IS: &str = "tandem-folder ";
const TEXT_BEGINS: &str = "tandem-text-begins";
const TEXT_ENDS: &str = "tandem-text-ends";

/// The version in a line of `_version.py`, or in one that `vllm --version` printed.
fn of_line(line: &str) -> Option<String> {
    let given = match line.split_once("__version__ = version = ") {
        Some((_, quoted)) => quoted.trim().trim_matches(['\'', '"']),
        None => line.trim(),
    };
    let looks_so = given.contains('.')
        && given.starts_with(|c: char| c.is_ascii_digit())
        && given
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".+-_".contains(c));
    looks_so.then(|| given.to_owned())
}

/// A script for the image's own shell that prints where its vLLM is, which one it is, and the text of its
/// drafter; only where no package is in a usual place, the program is asked instead.
pub const PROBE_SCRIPT: &str = r#"for d in /usr/local/lib/python3*/dist-packages /usr/local/lib/python3*/site-packages /opt/venv/lib/python3*/site-packages /usr/lib/python3*/dist-packages /usr/lib/python3*/site-packages /opt/vllm/lib/python3*/site-packages /app/.venv/lib/python3*/site-packages /workspace/.venv/lib/python3*/site-packages; do
  if [ -f "$d/vllm/__init__.py" ]; then
    echo "tandem-folder $d/vllm"
    if [ -f "$d/vllm/_version.py" ]; then cat "$d/vllm/_version.py"; fi
    if [ -f "$d/vllm/model_executor/models/step3p5_mtp.py" ]; then
      echo tandem-text-begins
      cat "$d/vllm/model_executor/models/step3p5_mtp.py"
      echo tandem-text-ends
    fi
    exit 0
  fi
done
exec vllm --version"#;

/// How the experts of a checkpoint are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Experts {
    /// As they are, or in a form that leaves heads alone (FP8).
    Plain,
    /// ModelOpt's NVFP4.
    ModelOpt,
    /// Compressed tensors, e.g. MXFP4.
    Compressed,
}

/// What is known of a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revision {
    /// Whether it can serve MTP as it is; `None` where only a look at its index can tell.
    pub has_layers: Option<bool>,
    /// See [`Experts`].
    pub experts: Experts,
}

/// The first revision of the NVFP4 release with the layers.
const WITH_LAYERS: &str = "4275532ffd9a9496ff36b7a2dc4a9db1048da438";

impl Revision {
    /// What its name tells before it is there.
    pub fn of_name(repo: &str, revision: &str) -> Self {
        let experts = if repo.contains("MXFP4") {
            Experts::Compressed
        } else if repo.contains("NVFP4") {
            Experts::ModelOpt
        } else {
            Experts::Plain
        };
        let of_nvfp4 = repo.ends_with("/Step-3.7-Flash-NVFP4");
        let whole = experts != Experts::ModelOpt || (of_nvfp4 && revision == WITH_LAYERS);
        Self {
            has_layers: whole.then_some(true),
            experts,
        }
    }

    /// What its files tell.
    pub fn read(
        configuration: &Value,
        quantization: Option<&Value>,
        layers: Text,
        index: &Index,
        code: Option<&str>,
    ) -> Self {
        let has_tensors = matches!(
            standing(index, &layers, layers.mtp_layers),
            Standing::Complete { .. }
        );
        let cut = !rewrite::truncated_lists(configuration, layers).is_empty()
            || code.is_some_and(|text| python::form(text) == python::Form::Truncates);
        let method = configuration
            .pointer("/quantization_config/quant_method")
            .or_else(|| configuration.pointer("/text_config/quantization_config/quant_method"))
            .or_else(|| quantization.and_then(|q| q.pointer("/producer/name")))
            .and_then(Value::as_str)
            .unwrap_or_default();
        Self {
            has_layers: Some(has_tensors && !cut),
            experts: if method.starts_with("modelopt") {
                Experts::ModelOpt
            } else if method == "compressed-tensors" {
                Experts::Compressed
            } else {
                Experts::Plain
            },
        }
    }
}

/// What a way needs of the image's vLLM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Nothing,
    /// This change of its drafter.
    Change(PatchKind),
    /// It cannot be told.
    Unclear,
}

/// What a way needs to serve a revision.
pub fn need(way: MtpMethod, vllm: &Vllm, revision: &Revision) -> Need {
    match (way, revision.experts, vllm.drafter) {
        // A draft has a configuration of its own, in which nothing is quantized.
        (MtpMethod::Draft, ..) | (_, Experts::Plain, _) => Need::Nothing,
        (_, Experts::ModelOpt, Drafter::Sound) => Need::Nothing,
        (_, Experts::ModelOpt, Drafter::Faulty) => Need::Change(PatchKind::Head),
        (_, Experts::ModelOpt, Drafter::Unknown) => Need::Unclear,
        (_, Experts::Compressed, Drafter::Unknown) => Need::Unclear,
        (_, Experts::Compressed, _) => Need::Change(PatchKind::Scales),
    }
}

/// What is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "bindings", derive(specta::Type))]
pub struct Proposal {
    /// The way.
    pub way: MtpMethod,
    /// Why, as a sentence.
    pub reason: String,
}

/// Proposes a way: the one that fetches least among those known to work. `mendable` says whether the
/// image's drafter is a text that can be changed, as far as is known.
pub fn propose(vllm: &Vllm, revision: &Revision, mendable: bool) -> Proposal {
    let named = vllm.named();
    let of = |way, reason: String| Proposal { way, reason };
    let beside = if revision.has_layers == Some(true) {
        MtpMethod::BuiltIn
    } else {
        MtpMethod::Overlay
    };
    match (beside, need(beside, vllm, revision)) {
        (MtpMethod::BuiltIn, Need::Nothing) => of(
            beside,
            format!("The revision has the layers, and {named} reads them as they are."),
        ),
        (MtpMethod::BuiltIn, Need::Change(_)) if mendable => of(
            beside,
            format!(
                "The revision has the layers; one file of {named} is changed for them, from outside, and nothing is fetched."
            ),
        ),
        (_, Need::Nothing) => of(
            beside,
            format!(
                "{}{named} reads the layers beside the weights, and this way fetches least.",
                if revision.has_layers.is_none() {
                    "A revision that has them is served as it is; else "
                } else {
                    "The revision lacks the layers; "
                }
            ),
        ),
        (_, Need::Change(kind)) => of(
            MtpMethod::Draft,
            format!(
                "{} cannot read BF16 layers beside {} experts unchanged; a draft of its own needs no change.",
                capital(&named),
                match kind {
                    PatchKind::Head => "NVFP4",
                    PatchKind::Scales => "MXFP4",
                }
            ),
        ),
        (_, Need::Unclear) => of(
            MtpMethod::Draft,
            format!(
                "It is not known how {named} reads BF16 layers beside quantized ones; a draft of its own does not depend on it."
            ),
        ),
    }
}

fn capital(words: &str) -> String {
    match words.strip_prefix('t') {
        Some(rest) => format!("T{rest}"),
        None => words.to_owned(),
    }
}

/// The proposal for choices of which nothing is on a machine yet. The machines may tell more, and the
/// step decides with what they tell.
pub fn propose_by_name(image: &str, repo: &str, revision: &str) -> Proposal {
    let vllm = Vllm::of_name(image);
    // Every release that has the fault has a text that was looked at; so has, by all that is known, the
    // image of the model's vendor, which was made between two of them.
    propose(&vllm, &Revision::of_name(repo, revision), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vllm(drafter: Drafter) -> Vllm {
        Vllm {
            version: Some("0".into()),
            folder: None,
            text: None,
            drafter,
        }
    }

    fn revision(has_layers: Option<bool>, experts: Experts) -> Revision {
        Revision {
            has_layers,
            experts,
        }
    }

    #[test]
    fn a_version_tells_whether_the_change_is_in() {
        for (version, drafter) in [
            ("0.33.0", Drafter::Sound),
            ("0.27.0", Drafter::Sound),
            ("0.27.1", Drafter::Sound),
            ("1.0.0", Drafter::Sound),
            ("0.33.0+simulated", Drafter::Sound),
            ("0.26.0", Drafter::Faulty),
            ("0.23.0", Drafter::Faulty),
            ("0.1.dev16944+ge9c8946e7", Drafter::Faulty),
            ("0.20.2", Drafter::Unknown),
            ("0.27.0rc1", Drafter::Unknown),
            ("0.1.dev20000+g0123456", Drafter::Unknown),
            ("0.27.1.dev4+g0123456", Drafter::Unknown),
        ] {
            assert_eq!(of_version(version), drafter, "{version}");
        }
    }

    #[test]
    fn an_image_is_known_by_its_tag_as_far_as_it_goes() {
        for (image, drafter) in [
            ("vllm/vllm-openai:stepfun37", Drafter::Faulty),
            ("docker.io/vllm/vllm-openai:v0.33.0", Drafter::Sound),
            ("lab:5000/vllm/vllm-openai:v0.23.0-cu130", Drafter::Faulty),
            ("lab:5000/vllm", Drafter::Unknown),
            ("vllm/vllm-openai:latest", Drafter::Unknown),
            ("vllm/vllm-openai@sha256:00", Drafter::Unknown),
        ] {
            assert_eq!(Vllm::of_name(image).drafter, drafter, "{image}");
        }
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_the_image_printed_is_read() {
        let printed = lines(
            "tandem-folder /usr/local/lib/python3.12/dist-packages/vllm\n# file generated\nversion: str\n__version__ = version = '0.33.0'\n__version_tuple__ = version_tuple = (0, 33, 0)\ntandem-text-begins\nimport torch\n\nclass A:\n    pass\ntandem-text-ends",
        );
        let seen = Vllm::read(&printed);
        assert_eq!(seen.version.as_deref(), Some("0.33.0"));
        assert_eq!(
            seen.folder.as_deref(),
            Some("/usr/local/lib/python3.12/dist-packages/vllm")
        );
        assert_eq!(
            seen.text.as_deref(),
            Some("import torch\n\nclass A:\n    pass\n"),
            "to the byte"
        );
        assert_eq!(
            seen.drafter,
            Drafter::Unknown,
            "a release's number says nothing about a file that somebody changed"
        );
        let cut = Vllm::read(&printed[..printed.len() - 1]);
        assert_eq!(cut.text, None, "a log that was cut gives no text");
        assert_eq!(cut.drafter, Drafter::Sound, "and the version counts");
        let asked = Vllm::read(&lines("INFO 11-21 starting\n0.23.0"));
        assert_eq!(asked.version.as_deref(), Some("0.23.0"));
        assert_eq!(asked.drafter, Drafter::Faulty);
        assert_eq!(
            Vllm::read(&lines("sh: 1: vllm: not found")).drafter,
            Drafter::Unknown
        );
    }

    #[test]
    fn the_way_that_is_proposed_needs_nothing_that_is_not_there() {
        use Drafter::{Faulty, Sound, Unknown};
        use MtpMethod::{BuiltIn, Draft, Overlay};
        let of = |drafter, layers, experts, mendable| {
            propose(&vllm(drafter), &revision(layers, experts), mendable).way
        };
        let nvfp4 = Experts::ModelOpt;
        assert_eq!(of(Sound, Some(true), nvfp4, false), BuiltIn);
        assert_eq!(of(Sound, Some(false), nvfp4, false), Overlay);
        assert_eq!(of(Sound, None, nvfp4, false), Overlay);
        assert_eq!(of(Faulty, Some(true), nvfp4, true), BuiltIn);
        assert_eq!(of(Faulty, Some(true), nvfp4, false), Draft);
        assert_eq!(of(Faulty, Some(false), nvfp4, true), Draft);
        assert_eq!(of(Unknown, Some(true), nvfp4, true), Draft);
        assert_eq!(of(Unknown, Some(true), Experts::Plain, true), BuiltIn);
        assert_eq!(of(Sound, Some(true), Experts::Compressed, true), BuiltIn);
        assert_eq!(of(Sound, Some(true), Experts::Compressed, false), Draft);
        for drafter in [Sound, Faulty, Unknown] {
            for layers in [None, Some(false), Some(true)] {
                for experts in [Experts::Plain, nvfp4, Experts::Compressed] {
                    for mendable in [false, true] {
                        let (vllm, revision) = (vllm(drafter), revision(layers, experts));
                        let proposal = propose(&vllm, &revision, mendable);
                        let fits = match need(proposal.way, &vllm, &revision) {
                            Need::Nothing => true,
                            Need::Change(_) => mendable,
                            Need::Unclear => false,
                        };
                        assert!(fits, "{vllm:?} {revision:?} {proposal:?}");
                        assert!(
                            proposal.way != BuiltIn || layers == Some(true),
                            "{revision:?}"
                        );
                        assert!(
                            proposal.reason.ends_with('.')
                                && proposal.reason.starts_with(char::is_uppercase)
                                || proposal.reason.starts_with("vLLM"),
                            "{}",
                            proposal.reason
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn the_vendors_image_with_the_pinned_revision_serves_what_is_built_in() {
        let proposal = propose_by_name(
            "vllm/vllm-openai:stepfun37",
            "stepfun-ai/Step-3.7-Flash-NVFP4",
            WITH_LAYERS,
        );
        assert_eq!(proposal.way, MtpMethod::BuiltIn, "{}", proposal.reason);
        let moving = propose_by_name(
            "vllm/vllm-openai:stepfun37",
            "stepfun-ai/Step-3.7-Flash-NVFP4",
            "main",
        );
        assert_eq!(moving.way, MtpMethod::Draft, "{}", moving.reason);
    }
}
