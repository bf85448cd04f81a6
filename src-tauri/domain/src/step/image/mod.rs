//! Step `image`: the container image, the same on every machine, over the line once where a private link can
//! carry it on.

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use source::{ImageInputs, ImageSource, choose, is_by_digest};

use crate::engine;
use crate::ports::{Image, MachineServices, PullProgress};
use crate::problem::{Code, Problem, bytes};
use crate::recipe::plan::LaunchPlan;
use crate::run::{ProgressPart, Receipt, Step, StepCheck, StepError, StepId, StepPlan};
use crate::shell::quote;
use crate::step::link_test::LinkTestReceipt;
use crate::step::machines::{on_all, undo_on_all};
use crate::step::rate::Rate;
use crate::step::services::{Services, StepContext};
use crate::step::stored::{stored, value};
use crate::step::{ids, serve_copy};

mod cable;
mod registry;
mod source;
#[cfg(test)]
mod tests;

/// The image, the same on every machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct ImageReceipt(pub Image);

impl Receipt for ImageReceipt {
    const STEP: &'static str = ids::IMAGE;
}

/// See the module.
pub(crate) struct BringImage {
    /// What is launched.
    pub launch: Arc<LaunchPlan>,
}

impl BringImage {
    async fn image_on(&self, machine: &MachineServices) -> Result<Option<Image>, StepError> {
        let image = machine.containers.image(&self.launch.image.name).await;
        Ok(image.map_err(|e| e.problem(&machine.name, &machine.user))?)
    }

    /// Whether anything may be copied over a private link: known before anything was looked at.
    fn is_linked(&self) -> bool {
        self.launch.is_linked() && !is_by_digest(&self.launch.image.name)
    }

    fn source(&self, cx: &StepContext, here: &[bool]) -> ImageSource {
        let proven = cx.receipt::<LinkTestReceipt>().ok();
        choose(&ImageInputs {
            names: cx.machines.iter().map(|s| s.name.as_str()).collect(),
            image: &self.launch.image.name,
            network: self.launch.network.as_ref(),
            measured: proven.as_ref().map(|p| &p.report.verdict),
            here,
        })
    }

    fn words(&self) -> (String, Vec<String>) {
        let image = &self.launch.image.name;
        let pull = format!("docker pull {}", quote(image));
        let engine = engine::of(self.launch.engine).title();
        let about = self.launch.image.about.as_ref();
        let about = about.map_or(String::new(), |size| format!(" It has about {size}."));
        if !self.is_linked() {
            let will = format!(
                "Pulls the container image with {engine} on the machines that lack it.{about}"
            );
            return (will, vec![pull]);
        }
        let will = format!(
            "Pulls the container image with {engine} once over your line, on the head, unless a machine has it. From there it crosses the private link to the other machine as a file, is checked and loaded, and has to be the same image then, the one that the registry has; the files are removed in the end. What the link cannot bring the other machine pulls for itself.{about}"
        );
        let exactly = vec![
            pull,
            format!(
                "docker save {}   # through Docker's socket, into Tandem's own folder",
                quote(image)
            ),
            serve_copy::shown(&self.serve_words(0, "IMAGE")),
            "docker load   # of that file, on the other machine".into(),
        ];
        (will, exactly)
    }

    /// The image of a machine, pulled where it is not there.
    async fn pulled(
        &self,
        cx: &StepContext,
        machine: &MachineServices,
    ) -> Result<Image, StepError> {
        cx.unless_cancelled(async {
            if let Some(image) = self.image_on(machine).await? {
                return Ok(image);
            }
            let mut rate = Rate::new(cx.clock.clone());
            let mut report = |p: PullProgress| {
                cx.progress(ProgressPart {
                    machine: machine.name.clone(),
                    done: p.done,
                    total: Some(p.total).filter(|t| *t > 0),
                    unit: "bytes".into(),
                    rate: rate.after(p.done),
                    doing: "pulling".into(),
                    held: None,
                });
            };
            let image = &self.launch.image.name;
            let pulled = machine.containers.pull(image, &mut report).await;
            pulled.map_err(|e| e.problem(&machine.name, &machine.user))?;
            self.there_now(machine).await
        })
        .await
    }

    /// The image of a machine that it was just brought to.
    async fn there_now(&self, machine: &MachineServices) -> Result<Image, StepError> {
        self.image_on(machine).await?.ok_or_else(|| {
            Problem::new(
                Code::ImagePull,
                "The image is missing after it was pulled or copied.",
            )
            .on(machine.name.clone())
            .into()
        })
    }

    fn same(&self, images: &[Image]) -> Result<Image, StepError> {
        let first = &images[0];
        if images.iter().any(|i| i.id != first.id) {
            return Err(Problem::new(
                Code::ImageDiffers,
                "The machines have different images under one name.",
            )
            .cause(format!(
                "`{}` moved to another image between the two pulls.",
                self.launch.image.name
            ))
            .fix_with(
                "Remove the older one, then resume; it is pulled again.",
                format!("docker rmi {}", quote(&self.launch.image.name)),
            )
            .into());
        }
        Ok(first.clone())
    }
}

#[async_trait]
impl Step<Services> for BringImage {
    fn plan(&self) -> StepPlan {
        let (will, exactly) = self.words();
        StepPlan {
            id: StepId::from(ids::IMAGE),
            title: "Image".into(),
            will,
            exactly,
            undo: "Removes the image where it was not before.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<StepCheck, StepError> {
        let images = on_all(&cx.machines, |_, s| Box::pin(self.image_on(s))).await?;
        let here: Vec<bool> = images.iter().map(Option::is_some).collect();
        let all: Vec<Image> = images.into_iter().flatten().collect();
        if all.len() < here.len() {
            return Ok(StepCheck::Needed {
                before: value(&here),
            });
        }
        let image = self.same(&all)?;
        // What was brought and not held against the registry before the app ended is held against it now.
        if cx.is_unfinished || self.is_linked() && self.is_littered(cx).await? {
            return Ok(StepCheck::Needed {
                before: value(&here),
            });
        }
        Ok(StepCheck::AlreadyDone {
            found: format!("It is there, {}.", bytes(image.size)),
            receipt: value(&ImageReceipt(image)),
        })
    }

    async fn apply(&self, cx: &StepContext, before: &Value) -> Result<Value, StepError> {
        let images = on_all(&cx.machines, |_, s| Box::pin(self.image_on(s))).await?;
        let here: Vec<bool> = images.iter().map(Option::is_some).collect();
        let source = self.source(cx, &here);
        if here.contains(&false) {
            cx.log(None, source.why());
        }
        let brought = match source {
            ImageSource::OnceThenCable { from, .. } => self.once(cx, from).await,
            ImageSource::EachPulls { .. } => {
                on_all(&cx.machines, |_, s| Box::pin(self.pulled(cx, s))).await
            }
        };
        match &brought {
            Ok(_) if self.is_linked() => self.tidy(cx).await?,
            // Somebody who cancels is left nothing of it; what failed or died keeps its files, to go on from.
            Err(StepError::Cancelled) if self.is_linked() => {
                if let Some(problem) = self.tidy(cx).await.err().and_then(StepError::into_problem) {
                    cx.log(problem.machine.as_deref(), problem.message.clone());
                }
            }
            _ => {}
        }
        let image = self.same(&brought?)?;
        let before: Vec<bool> = stored(before)?;
        self.hold_against_registry(cx, &image, &before).await?;
        Ok(value(&ImageReceipt(image)))
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        let ImageReceipt(wanted) = stored(receipt)?;
        for machine in &cx.machines {
            if self.image_on(machine).await?.map(|i| i.id) != Some(wanted.id.clone()) {
                return Err(Problem::new(
                    Code::ImageDiffers,
                    "The image changed while it was looked at.",
                )
                .fix("Resume; it is pulled again.")
                .on(machine.name.clone())
                .into());
            }
        }
        Ok(format!(
            "The same image is on every machine: {}.",
            short(&wanted.id)
        ))
    }

    async fn undo(
        &self,
        cx: &StepContext,
        before: &Value,
        _: Option<&Value>,
    ) -> Result<String, StepError> {
        if self.is_linked() {
            // First, for a load that still goes on would bring the image again.
            self.tidy(cx).await?;
        }
        undo_on_all(&cx.machines, before, |was_here: bool, machine| {
            Box::pin(async move {
                if !was_here {
                    let removed = machine
                        .containers
                        .remove_image(&self.launch.image.name)
                        .await;
                    removed.map_err(|e| e.problem(&machine.name, &machine.user))?;
                }
                Ok(())
            })
        })
        .await?;
        Ok("The image is gone from the machines that did not have it.".into())
    }
}

fn short(id: &str) -> String {
    id.chars().take("sha256:".len() + 12).collect()
}
