//! The progress of a pull, summed over its layers.

use std::collections::HashMap;

use bollard::models::CreateImageInfo;
use tandem_domain::ports::PullProgress;

/// Keeps what is known of every layer.
#[derive(Debug, Default)]
pub(super) struct Layers {
    layers: HashMap<String, PullProgress>,
}

impl Layers {
    /// Takes one message of the engine; gives the new sum if it changed.
    pub(super) fn take(&mut self, info: &CreateImageInfo) -> Option<PullProgress> {
        let before = self.sum();
        let id = info.id.as_deref()?;
        let detail = info.progress_detail.as_ref();
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok()).filter(|n| *n > 0);
        match info.status.as_deref()? {
            "Downloading" => {
                let layer = self.layers.entry(id.to_owned()).or_insert(NOTHING);
                layer.total = number(detail.and_then(|d| d.total)).unwrap_or(layer.total);
                layer.done = number(detail.and_then(|d| d.current)).unwrap_or(layer.done);
                layer.total = layer.total.max(layer.done);
            }
            // Extracting counts the same bytes a second time.
            "Download complete" | "Pull complete" | "Extracting" | "Verifying Checksum" => {
                if let Some(layer) = self.layers.get_mut(id) {
                    layer.done = layer.total;
                }
            }
            _ => {}
        }
        let after = self.sum();
        (after != before).then_some(after)
    }

    fn sum(&self) -> PullProgress {
        self.layers
            .values()
            .fold(NOTHING, |sum, layer| PullProgress {
                done: sum.done + layer.done,
                total: sum.total + layer.total,
            })
    }
}

const NOTHING: PullProgress = PullProgress { done: 0, total: 0 };

#[cfg(test)]
mod tests {
    use bollard::models::CreateImageInfo;
    use tandem_domain::ports::PullProgress;

    use super::Layers;

    #[test]
    fn layers_add_up_and_extracting_does_not_count_again() {
        let mut layers = Layers::default();
        let mut take = |json: &str| {
            let info: CreateImageInfo = serde_json::from_str(json).expect("a message");
            layers.take(&info).map(|p| (p.done, p.total))
        };
        assert_eq!(
            take(r#"{"status":"Pulling from vllm","id":"stepfun37"}"#),
            None
        );
        assert_eq!(
            take(r#"{"status":"Already exists","progressDetail":{},"id":"z"}"#),
            None
        );
        assert_eq!(
            take(
                r#"{"status":"Downloading","progressDetail":{"current":10,"total":100},"id":"a"}"#
            ),
            Some((10, 100))
        );
        assert_eq!(
            take(r#"{"status":"Downloading","progressDetail":{"current":5,"total":50},"id":"b"}"#),
            Some((15, 150))
        );
        assert_eq!(
            take(r#"{"status":"Download complete","progressDetail":{},"id":"a"}"#),
            Some((105, 150))
        );
        assert_eq!(
            take(r#"{"status":"Extracting","progressDetail":{"current":3,"total":100},"id":"a"}"#),
            None
        );
        assert_eq!(
            take(r#"{"status":"Pull complete","progressDetail":{},"id":"b"}"#),
            Some((150, 150))
        );
        assert_eq!(
            PullProgress {
                done: 150,
                total: 150
            },
            layers.sum()
        );
    }
}
