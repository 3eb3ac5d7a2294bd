//! `/_tresor/...`: what those who test their automation may do to the service.
//!
//! These routes stand in the table like all others and take the same tokens and roles, at the root
//! scope. A service that was not started for tests does not have them: their paths are unknown
//! there. They are for clients on this machine; whoever asks from elsewhere is refused.

mod clock;
mod fault;
mod target;
#[cfg(test)]
mod tests;

use crate::table::{Action, Answer, Route, handler};
use crate::wire::body::Field;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use axum::extract::ConnectInfo;
use futures::future::BoxFuture;
use http::{Extensions, Method, StatusCode, header};
use std::net::SocketAddr;
use std::sync::Arc;
use tresor_core::error::{Fault, FaultKind};
use tresor_core::hook::{Hooks, Pending, Place};

/// Makes the service a clean one again; answers when it is.
pub type Reset = Arc<dyn Fn() -> BoxFuture<'static, tresor_core::error::Result<()>> + Send + Sync>;

/// Where the paths of all hooks begin.
const PREFIX: &str = "/_tresor/";

/// Every hook.
pub(crate) fn routes() -> Vec<Route> {
    let route = |method, path, action, handler, name| Route {
        method,
        path,
        versions: Versions::None,
        since: None,
        action: Action::Rbac(action),
        handler,
        name,
    };
    let (clock, faults) = ("/_tresor/clock", "/_tresor/faults");
    let read = "Tresor.Testing/faults/read";
    let arm = "Tresor.Testing/faults/write";
    let clear = "Tresor.Testing/faults/delete";
    let look = "Tresor.Testing/clock/read";
    let advance = "Tresor.Testing/clock/advance/action";
    let anew = "Tresor.Testing/reset/action";
    vec![
        route(Method::GET, clock, look, handler!(clock::get), "TresorClock_Get"),
        route(Method::POST, clock, advance, handler!(clock::advance), "TresorClock_Advance"),
        route(Method::GET, faults, read, handler!(fault::list), "TresorFaults_List"),
        route(Method::POST, faults, arm, handler!(fault::arm), "TresorFaults_Arm"),
        route(Method::DELETE, faults, clear, handler!(fault::clear), "TresorFaults_Clear"),
        route(Method::POST, "/_tresor/reset", anew, handler!(reset), "Tresor_Reset"),
    ]
}

/// Whether a route is a hook.
pub(crate) fn is_one(route: &Route) -> bool {
    route.path.starts_with(PREFIX)
}

/// Lets clients on this machine in; a peer that nobody knows is none.
pub(crate) fn admit(extensions: &Extensions) -> Result<(), ArmError> {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>();
    if peer.is_some_and(|ConnectInfo(peer)| peer.ip().to_canonical().is_loopback()) {
        return Ok(());
    }
    let text = "The hooks for tests answer clients on the service's own machine only.";
    Err(ArmError::new(StatusCode::FORBIDDEN, "LoopbackOnly", text))
}

/// The fault that was armed for this request: one for the request itself is its answer, the others
/// go with it.
pub(crate) fn strike(route: &Route, request: &Request) -> Result<Option<Pending>, ArmError> {
    let Some(hooks) = request.app.service.hooks() else { return Ok(None) };
    if is_one(route) || route.action == Action::Public {
        return Ok(None);
    }
    let fits = |text: &str| target::fits(text, route, &request.path);
    let Some(armed) = hooks.faults().find(fits) else { return Ok(None) };
    if armed.place != Place::Request {
        return Ok(Some(Pending::new(hooks, &armed)));
    }
    match hooks.faults().strike(armed.id) {
        Some(fault) => Err(told(&fault, request)),
        None => Ok(None),
    }
}

/// A fault as the answer of a request. Clients look for `Retry-After` where they may try again.
fn told(fault: &Fault, request: &Request) -> ArmError {
    let error = ArmError::from_fault(fault, request.dialect);
    match error.status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            error.header(header::RETRY_AFTER, "1")
        }
        _ => error,
    }
}

/// A handler's work with a fault in its bag, if there is one.
pub(crate) fn carrying(pending: Option<Pending>, work: Answer) -> Answer {
    match pending {
        Some(pending) => Box::pin(pending.around(work)),
        None => work,
    }
}

/// The hooks of the request's service.
fn hooks(request: &Request) -> Result<&Arc<Hooks>, ArmError> {
    request.app.service.hooks().ok_or_else(|| {
        let text = "The service was not started for tests.";
        ArmError::new(StatusCode::NOT_FOUND, "NotFound", text)
    })
}

/// Refuses members that nobody reads: a misspelt one would be a test of something else.
fn only(root: &Field<'_>, known: &[&str]) -> Result<(), ArmError> {
    for (name, field) in root.members()? {
        if !known.iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return Err(field.invalid(format!("is unknown; there are {}.", known.join(", "))));
        }
    }
    Ok(())
}

async fn reset(request: Request) -> Result<Reply, ArmError> {
    let Some(reset) = &request.app.reset else {
        let message = "Only a service that was started with --ephemeral can be made a clean one.";
        return Err(ArmError::from_fault(
            &Fault::new(FaultKind::Unsupported, message),
            request.dialect,
        ));
    };
    reset().await?;
    Ok(Reply::no_content())
}
