//! Installs Tutti on a cluster: the lab's, or any other that a kubeconfig context names. Nothing
//! here asks what kind of cluster it is, beyond what [`Target`] says.
//!
//! ```text
//! images.rs ──build, push──> registry      install.rs ──helm, kubectl──> cluster
//!      └── digests.json ────────────────────────┘
//! ```

pub mod access;
pub mod catalogue;
pub mod check;
pub mod images;
pub mod install;
pub mod lint;
pub mod logs;
pub mod mail;
mod release;
pub mod target;

pub use target::{Choice, Target};
