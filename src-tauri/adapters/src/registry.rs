//! Registries of container images, asked from this computer without anybody's login.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests>

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::manifest::ImageIndexEntry;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tandem_domain::ports::{Registry, RegistryError};

/// How long a registry may take for all of its answers.
const PATIENCE: Duration = Duration::from_secs(20);

/// The registries that images are named by. What is asked for is a manifest of some kilobytes; nothing is kept.
#[derive(Debug, Clone, Default)]
pub struct Registries {
    plain_http: Vec<String>,
}

impl Registries {
    /// The same, with plain HTTP to these hosts (`host:port`), as a registry on this computer has it.
    pub fn plain(hosts: impl IntoIterator<Item = String>) -> Self {
        Self {
            plain_http: hosts.into_iter().collect(),
        }
    }
}

/// The name that images use for what `uname -m` says.
fn platform(arch: &str) -> &str {
    match arch {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    }
}

fn of_platform(entries: &[ImageIndexEntry], wanted: &str) -> Option<String> {
    let fits = entries.iter().find(|entry| {
        let platform = entry.platform.as_ref();
        platform
            .is_some_and(|p| p.os.to_string() == "linux" && p.architecture.to_string() == wanted)
    });
    fits.map(|entry| entry.digest.clone())
}

#[async_trait]
impl Registry for Registries {
    async fn ids(&self, image: &str, arch: &str) -> Result<BTreeSet<String>, RegistryError> {
        let reference: Reference = image.parse().map_err(|_| RegistryError::Name {
            image: image.to_owned(),
        })?;
        let wanted = platform(arch).to_owned();
        let client = Client::new(ClientConfig {
            protocol: ClientProtocol::HttpsExcept(self.plain_http.clone()),
            platform_resolver: Some(Box::new(move |entries| of_platform(entries, &wanted))),
            connect_timeout: Some(PATIENCE),
            read_timeout: Some(PATIENCE),
            user_agent: concat!("tandem/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        });
        let asked =
            client.pull_image_manifest_and_list_digest(&reference, &RegistryAuth::Anonymous);
        let no_answer = |detail: String| RegistryError::NoAnswer { detail };
        let (manifest, digest, list) = tokio::time::timeout(PATIENCE, asked)
            .await
            .map_err(|_| no_answer(format!("it took longer than {} s", PATIENCE.as_secs())))?
            .map_err(|e| no_answer(e.to_string().trim_end_matches('.').to_owned()))?;
        let ids = [Some(manifest.config.digest), Some(digest), list];
        Ok(ids.into_iter().flatten().collect())
    }
}
