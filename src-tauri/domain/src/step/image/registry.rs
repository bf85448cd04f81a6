//! What the machines have is held against the registry, which is asked by the app: neither machine vouches for the
//! other, nor for itself.

use super::{BringImage, short};
use crate::ports::Image;
use crate::problem::{Code, Problem};
use crate::run::StepError;
use crate::step::facts::FactsReceipt;
use crate::step::services::StepContext;

/// The architecture of a Spark.
const SPARK: &str = "aarch64";

impl BringImage {
    /// Refuses an image that this run brought and that is not the one that the registry has, and removes it where it was
    /// not before, so that nothing takes it for the right one. Where the registry does not answer, or the image was
    /// `here` before and its name may have moved on since, the log says what is not known.
    pub(super) async fn hold_against_registry(
        &self,
        cx: &StepContext,
        image: &Image,
        here: &[bool],
    ) -> Result<(), StepError> {
        let Some(registry) = &cx.services.registry else {
            return Ok(());
        };
        let name = &self.launch.image.name;
        let facts = cx.receipt::<FactsReceipt>().ok();
        let arch = facts.as_ref().and_then(|facts| facts.0.first());
        let arch = arch.map_or(SPARK, |facts| &facts.arch);
        let ids = match registry.ids(name, arch).await {
            Ok(ids) => ids,
            Err(error) => {
                let line = format!(
                    "The image was not held against the registry, so its content is what the first machine pulled: {error}."
                );
                cx.log(None, line);
                return Ok(());
            }
        };
        if ids.contains(&image.id) {
            cx.log(None, "The image is the one that the registry has.");
            return Ok(());
        }
        if here.contains(&true) {
            let line = format!(
                "The registry has another image under `{name}` now, so the one that was here could not be held against it."
            );
            cx.log(None, line);
            return Ok(());
        }
        for machine in &cx.machines {
            let removed = machine.containers.remove_image(name).await;
            removed.map_err(|e| e.problem(&machine.name, &machine.user))?;
        }
        Err(Problem::new(
            Code::ImageDiffers,
            "The image that came is not the one that the registry has.",
        )
        .cause(format!(
            "It is {}, and was removed again. Either `{name}` moved to another image while it was brought, or it was changed on a machine.",
            short(&image.id)
        ))
        .fix("Resume; it is pulled again.")
        .into())
    }
}
