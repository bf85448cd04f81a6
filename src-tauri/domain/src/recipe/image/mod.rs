//! Step `image`: the container image, the same on every machine.

use async_trait::async_trait;
use serde_json::Value;

use crate::ports::{Image, Station};
use crate::problem::{Code, Problem, bytes};
use crate::recipe::both::{on_all, stored, undo_on_all, value};
use crate::recipe::rate::Rate;
use crate::run::{Found, ProgressPart, Step, StepContext, StepError, StepId, StepPlan};

/// See the module.
pub(super) struct PullImage {
    /// By tag or digest.
    pub image: String,
}

impl PullImage {
    async fn image_on(&self, station: &Station) -> Result<Option<Image>, StepError> {
        let image = station.containers.image(&self.image).await;
        Ok(image.map_err(|e| e.problem(&station.name, &station.user))?)
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
                self.image
            ))
            .fix_with(
                "Remove the older one, then resume; it is pulled again.",
                format!("docker rmi {}", self.image),
            )
            .into());
        }
        Ok(first.clone())
    }
}

#[async_trait]
impl Step for PullImage {
    fn plan(&self) -> StepPlan {
        StepPlan {
            id: StepId("image".into()),
            title: "Image".into(),
            will: "Pulls the container image with vLLM on the machines that lack it. The one Tandem proposes has about 10 GB."
                .into(),
            exactly: vec![format!("docker pull {}", self.image)],
            undo: "Removes the image where it was not before.".into(),
            privileged: false,
        }
    }

    async fn check(&self, cx: &StepContext) -> Result<Found, StepError> {
        let images = on_all(&cx.stations, |_, s| Box::pin(self.image_on(s))).await?;
        let here: Vec<bool> = images.iter().map(Option::is_some).collect();
        let all: Vec<Image> = images.into_iter().flatten().collect();
        if all.len() < here.len() {
            return Ok(Found::Needed {
                before: value(&here),
            });
        }
        let image = self.same(&all)?;
        Ok(Found::AlreadyDone {
            found: format!("It is there, {}.", bytes(image.size)),
            receipt: value(&image),
        })
    }

    async fn apply(&self, cx: &StepContext, _: &Value) -> Result<Value, StepError> {
        let images = cx
            .unless_cancelled(on_all(&cx.stations, |_, station| {
                Box::pin(async move {
                    if let Some(image) = self.image_on(station).await? {
                        return Ok(image);
                    }
                    let mut rate = Rate::new(cx.clock.clone());
                    let mut report = |p: crate::ports::PullProgress| {
                        cx.progress(ProgressPart {
                            machine: station.name.clone(),
                            done: p.done,
                            total: Some(p.total).filter(|t| *t > 0),
                            unit: "bytes".into(),
                            rate: rate.after(p.done),
                            doing: "pulling".into(),
                        });
                    };
                    let pulled = station.containers.pull(&self.image, &mut report).await;
                    pulled.map_err(|e| e.problem(&station.name, &station.user))?;
                    self.image_on(station).await?.ok_or_else(|| {
                        Problem::new(
                            Code::ImagePull,
                            "The image is not there after it was pulled.",
                        )
                        .on(station.name.clone())
                        .into()
                    })
                })
            }))
            .await?;
        Ok(value(&self.same(&images)?))
    }

    async fn verify(&self, cx: &StepContext, receipt: &Value) -> Result<String, StepError> {
        let wanted: Image = stored(receipt)?;
        for station in &cx.stations {
            if self.image_on(station).await?.map(|i| i.id) != Some(wanted.id.clone()) {
                return Err(Problem::new(
                    Code::ImageDiffers,
                    "The image changed while it was looked at.",
                )
                .fix("Resume; it is pulled again.")
                .on(station.name.clone())
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
        undo_on_all(&cx.stations, before, |was_here: bool, station| {
            Box::pin(async move {
                if !was_here {
                    let removed = station.containers.remove_image(&self.image).await;
                    removed.map_err(|e| e.problem(&station.name, &station.user))?;
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
