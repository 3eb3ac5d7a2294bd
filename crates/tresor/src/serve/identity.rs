//! The listener of the managed identity endpoint: plain HTTP, on a loopback address only.
//!
//! Its address and its secret are published in a file that only the owner can read, while it
//! listens. When it fails the service goes on: backups do not need it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, anyhow};
use axum_server::Handle;
use tokio::task::JoinHandle;
use tresor_arm::{IdentityEndpoint, IdentitySettings};

use super::credentials::IdentityAccess;
use super::{bind, connection};
use crate::config::{Config, Wire};

/// Connections at once; further ones are closed.
const CONNECTIONS: usize = 64;

/// The endpoint while it listens.
pub(super) struct Listener {
    handle: Handle<SocketAddr>,
    server: JoinHandle<std::io::Result<()>>,
}

/// What the endpoint shall do; None when it is off.
pub(super) fn settings(config: &Config, base_url: &str) -> Result<Option<IdentitySettings>> {
    Ok(config.identity.address()?.map(|_| IdentitySettings {
        base_url: base_url.to_owned(),
        identities: config.identity.identities.clone(),
        imds: config.identity.imds,
    }))
}

/// Listens, and publishes where.
pub(super) async fn listen(
    config: &Config,
    endpoint: Option<IdentityEndpoint>,
) -> Result<Option<Listener>> {
    // Left behind by a killed owner of this folder.
    IdentityAccess::withdraw(&config.data)?;
    let (Some(address), Some(endpoint)) = (config.identity.address()?, endpoint) else {
        return Ok(None);
    };
    let listener = bind(address)?;
    let root = format!("http://{}", listener.local_addr()?);
    let handle = Handle::new();
    let bounds = Wire {
        max_connections: CONNECTIONS,
        max_connections_per_address: CONNECTIONS,
        ..config.wire.clone()
    };
    let server = connection::bounded(axum_server::from_tcp(listener)?, &bounds);
    let server = server.handle(handle.clone());
    // The audit trail wants to know where a request comes from.
    let router = endpoint.router.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(server.serve(router));
    let Some(_) = handle.listening().await else {
        return Err(anyhow!("cannot listen on {address} (see identity.listen)"));
    };
    IdentityAccess {
        endpoint: format!("{root}{}", endpoint.path),
        header: endpoint.header,
        metadata: config.identity.imds.then(|| root.clone()),
    }
    .publish(&config.data)?;
    tracing::info!(%root, "the managed identity endpoint listens");
    Ok(Some(Listener { handle, server }))
}

impl Listener {
    /// Stops within a bounded time.
    pub(super) async fn stop(self, data: &Path, patience: Duration) {
        if let Err(error) = IdentityAccess::withdraw(data) {
            tracing::warn!("{error:#}");
        }
        self.handle.graceful_shutdown(Some(patience));
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the managed identity endpoint failed"),
            Err(error) => tracing::warn!(%error, "the managed identity endpoint failed"),
        }
    }
}
