//! The two questions of whoever runs the service: does it live, can it be given work.
//!
//! No token is asked for: orchestrators have none, and the answers tell nothing about what is kept.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tresor_core::service::Service;

/// `/healthz` and `/readyz` in front of `api`.
pub(super) fn beside(api: Router, service: Arc<Service>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state(service)
        .fallback_service(api)
}

async fn ready(State(service): State<Arc<Service>>) -> (StatusCode, &'static str) {
    if service.ready().await {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
    }
}
