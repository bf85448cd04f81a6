//! What a simulated machine keeps: its images and containers, read from their folders.

use tandem_domain::container::LABEL;
use tandem_domain::disk::Mounting;
use tandem_domain::ports::{Image, KeptImage, Stock};

use super::containers::{REFERENCE, SimulatedContainers};

impl SimulatedContainers {
    pub(super) fn all_kept(&self) -> Stock {
        let entries = |folder: &str| {
            let list = std::fs::read_dir(self.folder.join(folder));
            list.into_iter().flatten().flatten()
        };
        let images = entries("images").filter_map(|entry| {
            let text = std::fs::read(entry.path().join("image.json")).ok()?;
            let image: Image = serde_json::from_slice(&text).ok()?;
            let tag = std::fs::read_to_string(entry.path().join(REFERENCE)).ok();
            Some(KeptImage {
                id: image.id,
                tags: tag.into_iter().collect(),
                size: image.size,
            })
        });
        let containers = entries("containers").filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kept = self.kept(&name)?;
            Some(Mounting {
                name,
                running: Self::running(&kept),
                ours: kept.labels.iter().any(|(label, _)| label == LABEL),
                image_id: kept.image_id,
                mounts: kept.mounts,
                command: kept.command,
            })
        });
        Stock {
            images: images.collect(),
            containers: containers.collect(),
        }
    }
}
