//! What is asked for, before it is resolved.

use crate::machine::SetupMachine;
use crate::network::NetworkPlan;
use crate::node::FetchLimits;
use crate::recipe::{Choices, VariantId};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct LaunchInput<'a> {
    /// The variant it is to end in.
    pub variant: &'a VariantId,
    /// What a person changed.
    pub choices: &'a Choices,
    /// The machines, head first.
    pub machines: &'a [SetupMachine],
    /// The number of machines that serve.
    pub ranks: usize,
    /// The addresses on the private link.
    pub network: Option<&'a NetworkPlan>,
    /// For example `https://huggingface.co`.
    pub hub_endpoint: &'a str,
    /// How much of the line the download may take, and when.
    pub download: &'a FetchLimits,
}
