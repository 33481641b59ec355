//! rustls asks here which certificate to present; the answer is one look-up in the current store.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::Store;

/// Presents certificates from the store that is current at the time of the handshake.
#[derive(Debug)]
pub struct Resolver {
    pub store: Arc<ArcSwap<Store>>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.store
            .load()
            .select(hello.server_name())?
            .certified_key()
    }
}
