//! How a behaviour is made.

use std::fmt;
use std::sync::Arc;

use crate::behaviour::Behaviour;
use crate::blockstore::Blockstore;
use crate::config::Config;
use crate::spawner::TaskSpawner;

/// No [`TaskSpawner`] was chosen: one must be, unless the feature `tokio` has the default.
#[derive(Clone, Copy, Debug)]
pub struct NoSpawner(());

/// Settings of a [`Behaviour`] that is about to be made.
pub struct BehaviourBuilder<S, T = NoSpawner> {
    store: Arc<S>,
    spawner: T,
    config: Config,
    seed: Option<[u8; 32]>,
}

impl<S, T: fmt::Debug> fmt::Debug for BehaviourBuilder<S, T> {
    /// Without the seed, which keys tables that peers can fill.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BehaviourBuilder")
            .field("spawner", &self.spawner)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl<S: Blockstore> BehaviourBuilder<S> {
    pub(crate) fn new(store: Arc<S>) -> Self {
        Self { store, spawner: NoSpawner(()), config: Config::default(), seed: None }
    }

    /// Makes the behaviour; its tasks run on tokio.
    ///
    /// # Panics
    ///
    /// When there is no seed and the system's random source fails.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn build(self) -> Behaviour<S> {
        self.with_spawner(crate::spawner::TokioSpawner).build()
    }
}

impl<S, T> BehaviourBuilder<S, T> {
    /// Where lookups in the store and hashing run. Default: on tokio, with the feature `tokio`; none without.
    #[must_use]
    pub fn with_spawner<U: TaskSpawner>(self, spawner: U) -> BehaviourBuilder<S, U> {
        let Self { store, config, seed, .. } = self;
        BehaviourBuilder { store, spawner, config, seed }
    }

    /// Settings of the behaviour and of the engine in it. Default: [`Config::default`].
    #[must_use]
    pub fn with_config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Decides how work is spread among equal peers and keys the tables that peers can fill, so nobody may
    /// guess it. Default: from the system's random source.
    #[must_use]
    pub const fn with_seed(mut self, seed: [u8; 32]) -> Self {
        self.seed = Some(seed);
        self
    }
}

impl<S: Blockstore, T: TaskSpawner> BehaviourBuilder<S, T> {
    /// Makes the behaviour.
    ///
    /// # Panics
    ///
    /// When there is no seed and the system's random source fails.
    #[must_use]
    pub fn build(self) -> Behaviour<S> {
        let seed = self.seed.unwrap_or_else(|| {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).expect("the system's random source");
            seed
        });
        Behaviour::with_parts(self.config, self.store, Arc::new(self.spawner), seed)
    }
}
