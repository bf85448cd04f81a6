//! What the engine keeps: images, and the containers that stand on them.

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListImagesOptionsBuilder};
use tandem_domain::container::LABEL;
use tandem_domain::disk::Mounting;
use tandem_domain::ports::{KeptImage, Stock};

/// What the engine writes for an image whose name a later one took.
const NAMELESS: &str = "<none>:<none>";

/// Reads all of it.
pub(super) async fn read(docker: &Docker) -> Result<Stock, Error> {
    let images = docker
        .list_images(Some(ListImagesOptionsBuilder::new().build()))
        .await?;
    let containers = docker
        .list_containers(Some(ListContainersOptionsBuilder::new().all(true).build()))
        .await?;
    Ok(Stock {
        images: images
            .into_iter()
            .map(|image| KeptImage {
                size: u64::try_from(image.size).unwrap_or(0),
                tags: image
                    .repo_tags
                    .into_iter()
                    .filter(|tag| tag != NAMELESS)
                    .collect(),
                id: image.id,
            })
            .collect(),
        containers: containers
            .into_iter()
            .map(|container| Mounting {
                name: container
                    .names
                    .iter()
                    .flatten()
                    .next()
                    .map(|name| name.trim_start_matches('/').to_owned())
                    .unwrap_or_default(),
                image_id: container.image_id.unwrap_or_default(),
                running: matches!(
                    container.state,
                    Some(
                        ContainerSummaryStateEnum::RUNNING
                            | ContainerSummaryStateEnum::PAUSED
                            | ContainerSummaryStateEnum::RESTARTING
                    )
                ),
                ours: container.labels.is_some_and(|l| l.contains_key(LABEL)),
                mounts: container
                    .mounts
                    .into_iter()
                    .flatten()
                    .filter_map(|mount| Some((mount.source?, mount.destination?)))
                    .collect(),
                command: container
                    .command
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect(),
            })
            .collect(),
    })
}
