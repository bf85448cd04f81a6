//! The image once over the line and then over the cable.

use futures::FutureExt as _;
use futures::future::join_all;

use super::BringImage;
use super::source::after;
use crate::node::{CopyTicket, LoadImage, Loaded, NodeWork, SaveImage, Spooled};
use crate::ports::{Command, Image, MachineServices, tagged};
use crate::run::StepError;
use crate::step::job::{self, JobError};
use crate::step::link_copy::{self, CopyEnd};
use crate::step::machines::{failed_on, on_all};
use crate::step::serve_copy::{self, STREAMS};
use crate::step::services::StepContext;

impl BringImage {
    /// One machine has the image or pulls it, the others copy it from there.
    pub(super) async fn once(
        &self,
        cx: &StepContext,
        from: usize,
    ) -> Result<Vec<Image>, StepError> {
        let image = self.pulled(cx, &cx.machines[from]).await?;
        let all = cx.machines.iter().enumerate().map(|(i, to)| {
            let image = image.clone();
            async move {
                if i == from {
                    return Ok(image);
                }
                self.copied(cx, from, to, &image).await
            }
        });
        join_all(all).await.into_iter().collect()
    }

    /// Copies to one machine, again after what passes, and from the registry where it does not pass.
    async fn copied(
        &self,
        cx: &StepContext,
        from: usize,
        to: &MachineServices,
        image: &Image,
    ) -> Result<Image, StepError> {
        if let Some(here) = self.image_on(to).await? {
            return Ok(here);
        }
        let copy = || self.copy(cx, from, to, image).boxed();
        match link_copy::repeat(cx, to, after, copy).await? {
            CopyEnd::Done(_) => self.there_now(to).await,
            CopyEnd::WithoutLink(why) => {
                let line = format!(
                    "The image does not come over the private link, so it is pulled here too. {why}"
                );
                cx.log(Some(&to.name), line);
                // A pull needs the room.
                job::undo(cx, to).await?;
                self.pulled(cx, to).await
            }
        }
    }

    /// Saves, serves, copies and loads.
    async fn copy(
        &self,
        cx: &StepContext,
        from: usize,
        to: &MachineServices,
        image: &Image,
    ) -> Result<Loaded, JobError> {
        let source = &cx.machines[from];
        let save = SaveImage {
            image: tagged(&self.launch.image.name),
            id: image.id.clone(),
        };
        let work = NodeWork::SaveImage(save.clone());
        let spooled: Spooled = job::run_with(cx, source, work, None).await?;
        let serving = serve_copy::serve(source, self.serve_words(from, &job::name(cx))).await?;
        let ticket = CopyTicket::new(serving, None);
        let work = NodeWork::LoadImage(LoadImage {
            image: save.image,
            id: save.id,
            spooled,
            from: source.name.clone(),
            streams: STREAMS,
        });
        job::run_with(cx, to, work, Some(ticket.seal())).await
    }

    /// The words after the program's name.
    pub(super) fn serve_words(&self, from: usize, job: &str) -> Vec<String> {
        let mut words = serve_copy::words(self.launch.network.as_ref(), from);
        words.extend(["--spool".to_owned(), job.to_owned()]);
        words
    }

    /// Removes the image's files on their way from every machine, with the jobs that made them.
    pub(super) async fn tidy(&self, cx: &StepContext) -> Result<(), StepError> {
        on_all(&cx.machines, |_, machine| Box::pin(job::undo(cx, machine))).await?;
        Ok(())
    }

    /// Whether a machine still has a job of this step: the app went away before it could tidy up.
    pub(super) async fn is_littered(&self, cx: &StepContext) -> Result<bool, StepError> {
        let script = "test -e \"$HOME/.local/share/tandem/jobs/$1\"";
        let look = Command::new("sh", ["-c", script, "sh", &job::name(cx)]);
        let look = &look;
        let found = on_all(&cx.machines, |_, machine| {
            Box::pin(async move {
                let output = machine.shell.exec(look).await;
                Ok(output.map_err(failed_on(machine))?.ok())
            })
        })
        .await?;
        Ok(found.contains(&true))
    }
}
