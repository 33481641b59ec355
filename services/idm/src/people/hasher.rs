//! Where passwords are hashed: on threads of their own, as many at once as there are cores. Each takes
//! 19 MiB for a few hundredths of a second; more at once would be no quicker, and only take memory.

use std::{sync::Arc, thread};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use super::password;
use crate::error::Failure;

/// Hashes and verifies, a few at once.
#[derive(Clone, Debug)]
pub struct Hasher {
    turns: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        // The first unknown address must not take longer than the second.
        password::prepare();
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            turns: Arc::new(Semaphore::new(cores)),
        }
    }
}

impl Hasher {
    /// See [`password::hash`].
    ///
    /// # Errors
    /// When it cannot be made.
    pub async fn hash(&self, password: &SecretString) -> Result<String, Failure> {
        let password = password.clone();
        self.run(move || password::hash(password.expose_secret()))
            .await?
            .map_err(Failure::Hash)
    }

    /// See [`password::is_right`].
    ///
    /// # Errors
    /// When the thread broke.
    pub async fn is_right(
        &self,
        password: &SecretString,
        hash: Option<String>,
    ) -> Result<bool, Failure> {
        let password = password.clone();
        self.run(move || password::is_right(password.expose_secret(), hash.as_deref()))
            .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        // The semaphore is never closed: without a turn it goes on all the same.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        tokio::task::spawn_blocking(move || {
            let outcome = work();
            drop(turn);
            outcome
        })
        .await
        .map_err(Failure::Thread)
    }
}
