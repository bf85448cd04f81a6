//! By which source the image comes to every machine, and why: decided from what is known, touching nothing.

use crate::network::NetworkPlan;
use crate::network::verdict::Verdict;
use crate::node::Refusal;
use crate::step::job::{JobError, is_passing};
use crate::step::link_copy::{AfterBreak, carries, passes};

/// What is known before the image moves.
pub(super) struct ImageInputs<'a> {
    /// The machines, head first.
    pub names: Vec<&'a str>,
    /// The image, by tag or digest.
    pub image: &'a str,
    /// The private link, if there is one.
    pub network: Option<&'a NetworkPlan>,
    /// What it was measured to carry, if it was.
    pub measured: Option<&'a Verdict>,
    /// For each machine whether it has the image.
    pub here: &'a [bool],
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ImageSource {
    /// Each machine that lacks it pulls for itself.
    EachPulls {
        /// Why, as a sentence.
        why: String,
    },
    /// One pulls, or has it already, and the others copy from it afterwards.
    OnceThenCable {
        /// Position of the one.
        from: usize,
        /// Why, as a sentence.
        why: String,
    },
}

impl ImageSource {
    /// In a sentence, for the log.
    pub(super) fn why(&self) -> &str {
        match self {
            Self::EachPulls { why } | Self::OnceThenCable { why, .. } => why,
        }
    }
}

/// Whether an image is named by what it is instead of by a tag. Docker keeps such a name only where the
/// image was pulled: one that was loaded from a file is not found by it.
pub(super) fn is_by_digest(image: &str) -> bool {
    image.contains('@')
}

/// Chooses.
pub(super) fn choose(known: &ImageInputs) -> ImageSource {
    let each = |why: String| ImageSource::EachPulls { why };
    if known.names.len() < 2 {
        return each("The machine pulls the image.".into());
    }
    if is_by_digest(known.image) {
        return each(
            "Docker knows an image by its digest only where it was pulled, so each machine pulls for itself."
                .into(),
        );
    }
    let carries = match carries(known.network, known.measured) {
        Ok(carries) => carries,
        Err(why) => return each(format!("{why}, so each machine pulls for itself.")),
    };
    let name = |i: usize| known.names.get(i).copied().unwrap_or_default();
    match known.here.iter().position(|here| *here) {
        Some(from) => ImageSource::OnceThenCable {
            from,
            why: format!(
                "`{}` has the image, so it is copied from there over the private link, {carries}, and nothing comes over your line.",
                name(from)
            ),
        },
        None => ImageSource::OnceThenCable {
            from: 0,
            why: format!(
                "`{}` pulls once over your line; then the image crosses the private link, {carries}.",
                name(0)
            ),
        },
    }
}

/// Decides after a copy that broke off, after so many tries, the one that failed among them.
pub(super) fn after(error: &JobError, tries: u32) -> AfterBreak {
    if passes(error, tries) {
        return AfterBreak::Again;
    }
    // The machine or its Docker is not to be had, for a pull no more than for a copy.
    let gone = matches!(error, JobError::Machine { error, .. } if is_passing(error));
    if gone || error.is(Refusal::Docker) {
        AfterBreak::Tell
    } else {
        AfterBreak::WithoutLink
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Code;
    use crate::step::link_copy::TRIES;
    use crate::step::link_copy::samples::{measured, network, refused, unreachable};

    const TAG: &str = "vllm/vllm-openai:stepfun37";

    fn source(image: &str, rails: Option<usize>, gbps: Option<f64>, here: &[bool]) -> ImageSource {
        let network = rails.map(network);
        let measured = gbps.map(measured);
        choose(&ImageInputs {
            names: ["spark-a", "spark-b"][..here.len()].to_vec(),
            image,
            network: network.as_ref(),
            measured: measured.as_ref(),
            here,
        })
    }

    #[test]
    fn a_pair_with_a_link_pulls_once() {
        let none = source(TAG, Some(2), Some(192.4), &[false, false]);
        assert!(
            matches!(none, ImageSource::OnceThenCable { from: 0, .. }),
            "{none:?}"
        );
        assert_eq!(
            none.why(),
            "`spark-a` pulls once over your line; then the image crosses the private link, which carries 192 Gb/s."
        );
        assert!(
            source(TAG, Some(1), None, &[false, false])
                .why()
                .contains("over its one rail")
        );
    }

    #[test]
    fn the_one_that_has_it_gives() {
        for (here, giver) in [([false, true], 1), ([true, false], 0)] {
            let given = source(TAG, Some(2), None, &here);
            assert!(
                matches!(given, ImageSource::OnceThenCable { from, .. } if from == giver),
                "{given:?}"
            );
            assert!(given.why().contains("nothing comes over your line"));
        }
    }

    #[test]
    fn without_a_link_worth_it_or_a_tag_each_pulls() {
        let digest = "vllm/vllm-openai@sha256:00";
        for (image, rails, gbps, here, word) in [
            (TAG, None, None, &[false, true][..], "no private link"),
            (TAG, Some(0), None, &[false, false], "no private link"),
            (TAG, Some(2), Some(0.9), &[false, false], "only 0.9 Gb/s"),
            (digest, Some(2), None, &[false, true], "by its digest"),
            (TAG, Some(2), None, &[false], "The machine pulls"),
        ] {
            let source = source(image, rails, gbps, here);
            assert!(
                matches!(source, ImageSource::EachPulls { .. }),
                "{source:?}"
            );
            assert!(source.why().contains(word), "{source:?}");
        }
    }

    #[test]
    fn a_copy_that_breaks_off_goes_on_then_the_registry_helps_and_what_it_cannot_help_is_told() {
        assert_eq!(after(&refused(Code::LinkFails), 1), AfterBreak::Again);
        assert_eq!(
            after(&refused(Code::LinkFails), TRIES),
            AfterBreak::WithoutLink
        );
        assert_eq!(after(&refused(Code::HashMismatch), 1), AfterBreak::Again);
        assert_eq!(
            after(&refused(Code::HashMismatch), 2),
            AfterBreak::WithoutLink
        );
        for code in [Code::DiskTooSmall, Code::ImageDiffers, Code::ImagePull] {
            assert_eq!(
                after(&refused(code), 1),
                AfterBreak::WithoutLink,
                "{code:?}"
            );
        }
        for code in [Code::DockerDenied, Code::DockerNotRunning] {
            assert_eq!(after(&refused(code), 1), AfterBreak::Tell, "{code:?}");
        }
        assert_eq!(after(&unreachable(), TRIES), AfterBreak::Tell);
    }
}
