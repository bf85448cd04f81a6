//! What the steps may use beside the machines, and the run's types with it.

use std::sync::{Arc, Mutex, PoisonError};

use crate::bench::BenchStore;
use crate::node::FetchLimits;
use crate::ports::Registry;
use crate::secret::Secret;

/// What the steps may use beside the machines.
#[derive(Clone)]
pub struct Services {
    /// The Hub's token, if the person gave one.
    pub hub_token: Option<Secret>,
    /// The limits of the run's downloads now.
    pub download: LiveLimits,
    /// Where measurements are kept.
    pub bench: Arc<dyn BenchStore>,
    /// The registries that images come from; `None` where there is none to be asked, as in a rehearsal.
    pub registry: Option<Arc<dyn Registry>>,
}

/// What a step is given.
pub type StepContext = crate::run::StepContext<Services>;

/// A step of ours.
pub type DynStep = dyn crate::run::Step<Services>;

/// What carries a run of our steps out.
pub type Driver = crate::run::Driver<Services>;

/// The limits of a run's downloads from now on; none while those that were planned hold. Clones share one
/// value, so that it can be changed under a step that is under way.
#[derive(Debug, Clone, Default)]
pub struct LiveLimits(Arc<Mutex<Option<FetchLimits>>>);

impl LiveLimits {
    /// With these limits from the start.
    pub fn new(limits: Option<FetchLimits>) -> Self {
        Self(Arc::new(Mutex::new(limits)))
    }

    /// These limits hold from now on.
    pub fn set(&self, limits: FetchLimits) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(limits);
    }

    /// The limits that hold now.
    pub fn now(&self) -> Option<FetchLimits> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
