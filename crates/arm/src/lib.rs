//! The wire: Azure Resource Manager, tokens, SAS and JSON.
//!
//! [`app`] makes the HTTP service. A request passes gates, in the order that `wire::entry` states.
//! Handlers parse, ask [`tresor_core::service::Service`] and map what comes back; they decide
//! nothing about backups.
//!
//! What must always hold:
//! - Every operation stands in one table ([`table`]) with the action that it needs.
//! - A wrong request gets a 4xx that names the field; a 5xx is a fault of ours.
//! - No secret and no token is logged or kept.
//! - Every change and every refusal of a right is in the audit trail before its answer leaves.

// The golden documents of the tests are long.
#![cfg_attr(test, recursion_limit = "256")]

mod auth;
mod authorization;
mod blob;
mod compute;
mod dataprotection;
mod graph;
mod hook;
mod insights;
mod managed_identity;
mod resource_graph;
mod resources;
#[cfg(test)]
mod site;
mod table;
mod types;
mod wire;

pub use auth::endpoint::IdentitySettings;
pub use hook::Reset;
pub use wire::bucket::Rate;
pub use wire::limit::Rates;
pub use wire::settings::{RetryAfter, WireSettings};

use auth::authority::Authority;
use auth::endpoint::Endpoint;
use std::sync::Arc;
use table::Table;
use tokio::sync::Semaphore;
use tresor_core::error::{Error, Result};
use tresor_core::service::Service;
use wire::audit::Strangers;
use wire::limit::Limits;
use wire::paging::Seal;
use zeroize::Zeroizing;

/// Requests without a token that are worked on at once. Anybody can send these, so they have
/// places of their own: no number of them keeps out who has a token.
const PUBLIC_REQUESTS: usize = 64;

/// Characters of the identity endpoint's secret at least; an empty file must not open it.
const HEADER_MIN: usize = 16;

/// What every request needs.
pub(crate) struct App {
    /// The domain.
    pub(crate) service: Arc<Service>,
    /// The operator's choices.
    pub(crate) wire: WireSettings,
    /// Makes and checks tokens.
    pub(crate) authority: Authority,
    /// The operations.
    pub(crate) table: Table,
    /// Seals page tokens.
    pub(crate) seal: Seal,
    /// The data plane of disks.
    pub(crate) blob: blob::Plane,
    /// How often each may ask, and how many polls may be held.
    pub(crate) limits: Limits,
    /// How many refusals of strangers are recorded.
    pub(crate) strangers: Strangers,
    /// Requests with a token that may be worked on at once.
    pub(crate) requests: Arc<Semaphore>,
    /// Requests without a token that may be worked on at once.
    pub(crate) public: Arc<Semaphore>,
    /// Makes the service a clean one again, where that was asked for.
    pub(crate) reset: Option<Reset>,
}

impl App {
    /// Loads the keys of the wire, making them at first start; blocking.
    pub(crate) fn open(service: Arc<Service>, wire: WireSettings) -> Result<Self> {
        service.export_as(types::job::document);
        let random = || Zeroizing::new(service.env().bytes::<32>().to_vec());
        let seal = Seal::new(&service.key_file("page.key", random)?);
        let blob = blob::Plane::new(&service.key_file("sas.key", random)?);
        let authority = Authority::open(&service, &wire)?;
        let limits = Limits::new(&wire);
        let strangers = Strangers::new();
        let requests = Arc::new(Semaphore::new(wire.max_requests));
        let public = Arc::new(Semaphore::new(PUBLIC_REQUESTS));
        let mut routes = table::routes();
        if service.hooks().is_none() {
            routes.retain(|route| !hook::is_one(route));
        }
        let table = Table::new(routes);
        Ok(Self {
            service,
            wire,
            authority,
            table,
            seal,
            blob,
            limits,
            strangers,
            requests,
            public,
            reset: None,
        })
    }

    /// The location that stands for this site where one is needed.
    pub(crate) fn home(&self) -> &str {
        self.service.locations().first().map_or("local", String::as_str)
    }
}

/// The HTTP service: everything but TLS. Blocks while it loads its keys.
///
/// # Errors
/// When a key of the wire cannot be read or made.
pub fn app(service: Arc<Service>, wire: WireSettings) -> Result<axum::Router> {
    Ok(router(Arc::new(App::open(service, wire)?)))
}

/// The same for a service with hooks that can also be made a clean one again.
///
/// # Errors
/// As [`app`].
pub fn resettable(service: Arc<Service>, wire: WireSettings, reset: Reset) -> Result<axum::Router> {
    let app = App::open(service, wire)?;
    Ok(router(Arc::new(App { reset: Some(reset), ..app })))
}

fn router(app: Arc<App>) -> axum::Router {
    axum::Router::new().fallback(move |request| wire::entry::serve(Arc::clone(&app), request))
}

/// The endpoint at which programs on this machine get tokens of managed identities. It must be
/// served on loopback addresses only.
pub struct IdentityEndpoint {
    /// Its HTTP service.
    pub router: axum::Router,
    /// Its path, such as `/msi/token`.
    pub path: &'static str,
    /// The secret that it asks for.
    pub header: Zeroizing<String>,
}

/// The HTTP service and, beside it, the endpoint of managed identities. Blocks while it loads its
/// keys.
///
/// # Errors
/// When a key of the wire cannot be read or made.
pub fn app_and_identity(
    service: Arc<Service>,
    wire: WireSettings,
    identity: IdentitySettings,
) -> Result<(axum::Router, IdentityEndpoint)> {
    let app = Arc::new(App::open(service, wire)?);
    let random = || {
        let bytes = Zeroizing::new(app.service.env().bytes::<32>());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        Zeroizing::new(hex.into_bytes())
    };
    let kept = app.service.key_file("identity.header", random)?;
    let header = Zeroizing::new(String::from_utf8_lossy(&kept).trim().to_owned());
    if header.len() < HEADER_MIN {
        let why = "the secret in keys/identity.header is too short";
        return Err(Error::internal("loading the endpoint of managed identities", why));
    }
    let endpoint = Arc::new(Endpoint::new(Arc::clone(&app), identity, header.clone()));
    let own = axum::Router::new().fallback(move |request| {
        let endpoint = Arc::clone(&endpoint);
        async move { endpoint.serve(request).await }
    });
    Ok((router(app), IdentityEndpoint { router: own, path: auth::endpoint::PATH, header }))
}
