//! `[metrics]`: where Prometheus reads.

use std::net::SocketAddr;

use super::keys::{Keys, Section};

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// Address to serve `/metrics` on: one that the public cannot reach, for what is read there is not public. Port 0: any
    /// free one. Absent: nowhere.
    pub listen: Option<SocketAddr>,
}

impl Section for Metrics {
    fn keys(&mut self, keys: &mut Keys<'_>) {
        keys.optional("listen", &mut self.listen);
    }
}
