//! A container's words as they can run here: without a file system and a network of its own, its
//! folders and ports are replaced by ours.

use std::collections::BTreeMap;

use tandem_domain::container::ContainerSpec;

use super::containers::SimulatedContainers;

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?
        .local_addr()?
        .port())
}

impl SimulatedContainers {
    /// The port here on which two ranks meet: made by whichever comes first. The head makes a new
    /// one if the old one was taken by somebody else meanwhile.
    fn meeting_port(&self, key: &str, head: bool) -> std::io::Result<u16> {
        let mut all: BTreeMap<String, u16> = std::fs::read(&self.meeting)
            .ok()
            .and_then(|t| serde_json::from_slice(&t).ok())
            .unwrap_or_default();
        if let Some(port) = all.get(key)
            && (!head || std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        {
            return Ok(*port);
        }
        let port = free_port()?;
        all.insert(key.to_owned(), port);
        std::fs::write(&self.meeting, serde_json::to_vec(&all)?)?;
        Ok(port)
    }

    /// The command as it can run here: folders and ports of the machine replaced by ours.
    pub(super) fn translate(
        &self,
        spec: &ContainerSpec,
    ) -> std::io::Result<(Vec<String>, BTreeMap<u16, u16>)> {
        let mut words = spec
            .entrypoint
            .clone()
            .unwrap_or_else(|| vec!["vllm".into(), "serve".into()]);
        words.extend(spec.command.iter().cloned());
        for word in &mut words {
            *word = self.inside(spec, word);
        }
        let value = |words: &[String], name: &str| {
            words
                .iter()
                .position(|w| w == name)
                .filter(|i| i + 1 < words.len())
                .map(|i| i + 1)
        };
        let mut ports = BTreeMap::new();
        if let Some(at) = value(&words, "--port")
            && let Ok(port) = words[at].parse::<u16>()
        {
            // A second server on the port of a running one must meet the same refusal as on a machine.
            let here = match self.port(port) {
                Some(taken) => taken,
                None => free_port()?,
            };
            words[at] = here.to_string();
            ports.insert(port, here);
        }
        if let (Some(address), Some(port)) = (
            value(&words, "--master-addr"),
            value(&words, "--master-port"),
        ) {
            let head = value(&words, "--node-rank").is_none_or(|at| words[at] == "0");
            let here = self.meeting_port(&format!("{}:{}", words[address], words[port]), head)?;
            words[address] = "127.0.0.1".into();
            words[port] = here.to_string();
        }
        Ok((words, ports))
    }

    /// A path in the container as a path here.
    pub(super) fn inside(&self, spec: &ContainerSpec, word: &str) -> String {
        for mount in &spec.mounts {
            if let Some(rest) = word.strip_prefix(&mount.target)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                return format!("{}{rest}", mount.source);
            }
        }
        word.to_owned()
    }
}
