//! The audit trail of requests: what is recorded, and when.
//!
//! Recorded is every PUT, PATCH, DELETE and POST that changes something or hands out a right,
//! every token that was given or refused, and every refusal of who somebody is (401) or what they
//! may do (403), whatever the method. A POST whose right ends in `/read` and the pages of the data
//! plane are not: what opened them is. The order that keeps changes from being lost stands in
//! [`tresor_core::audit`].
//!
//! Strangers cannot push others out: refusals of who shows no valid token are recorded
//! [`STRANGERS`] at most; further ones are counted, and the next recorded one tells how many.

use super::bucket::{Buckets, Rate, Taken};
use super::error::ArmError;
use super::header::Ids;
use super::limit::{self, Remaining};
use super::reply::Reply;
use crate::App;
use crate::table::{Action, Route};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tresor_core::model::{Actor, Event, Principal, ResourceId};
use tresor_core::service::Caller;
use uuid::Uuid;

/// Refusals of strangers that are recorded: so many at once, and so many a minute after that.
const STRANGERS: Rate = Rate { burst: 100, per_minute: 6 };
/// POSTs that ask and change nothing, though no right of theirs says so.
pub(crate) const QUERIES: [&str; 2] =
    ["Graph_DirectoryObjects_GetByIds", "ResourceGraph_Resources"];
/// Longest name of a request by its client that is kept.
const NAME_MAX: usize = 128;
/// Bytes of a token request that are looked at for the client's id.
const FORM_MAX: usize = 64 << 10;

/// How many refusals of strangers are recorded, and how many were not.
#[derive(Debug)]
pub(crate) struct Strangers {
    recorded: Buckets<()>,
    unrecorded: AtomicU64,
}

impl Strangers {
    /// None so far.
    pub(crate) fn new() -> Self {
        Self { recorded: Buckets::new(STRANGERS), unrecorded: AtomicU64::new(0) }
    }

    /// Whether one more is recorded, and how many were not since the last one.
    fn admit(&self, now: Duration) -> Option<u64> {
        if let Taken::Wait(_) = self.recorded.take(&(), now) {
            self.unrecorded.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(self.unrecorded.swap(0, Ordering::Relaxed))
    }
}

/// Whether requests of a route are recorded when they are let in.
fn is_recorded(route: &Route) -> bool {
    match route.action {
        Action::Public => is_sign_in(route),
        _ if [Method::GET, Method::HEAD].contains(&route.method) => false,
        Action::Rbac(action) => route.method != Method::POST || !action.ends_with("/read"),
        Action::Open(_) => !QUERIES.contains(&route.name),
    }
}

/// Whether a route hands out tokens.
fn is_sign_in(route: &Route) -> bool {
    route.action == Action::Public && route.path.ends_with("/token")
}

/// What is known of a request while it passes the gates.
pub(crate) struct Trail {
    event: Event,
    peer: Option<IpAddr>,
    recorded: bool,
    sign_in: bool,
    begun: bool,
    /// What its principal may still ask, once that is known.
    pub(crate) remaining: Option<Remaining>,
}

/// A request that was let in and is recorded when it ends.
pub(crate) struct Open {
    event: Event,
    peer: Option<IpAddr>,
    sign_in: bool,
}

impl Trail {
    /// The trail of a request of which nothing is known yet.
    pub(crate) fn of(app: &App, head: &Parts, ids: &Ids) -> Self {
        let env = app.service.env();
        let peer = limit::peer(&head.extensions);
        let event = Event {
            id: env.uuid(),
            at: env.domain(),
            recorded: env.real(),
            actor: None,
            operation: String::new(),
            action: String::new(),
            resource: ResourceId::root(),
            verb: head.method.as_str().to_owned(),
            peer,
            correlation: ids.correlation,
            request: ids.request,
            client_request: client_request(&head.headers),
            status: 0,
            code: String::new(),
            unrecorded: 0,
        };
        Self { event, peer, recorded: false, sign_in: false, begun: false, remaining: None }
    }

    /// Where it came from.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Whether it asks for a token.
    pub(crate) fn is_sign_in(&self) -> bool {
        self.sign_in
    }

    /// Its route was found, and what it is about.
    pub(crate) fn found(&mut self, route: &Route, about: ResourceId) {
        self.recorded = is_recorded(route);
        self.sign_in = is_sign_in(route);
        self.event.operation = route.name.to_owned();
        self.event.resource = about;
        if let Action::Rbac(action) = route.action {
            self.event.action = action.to_owned();
        }
    }

    /// Somebody showed who they are.
    pub(crate) fn by(&mut self, caller: &Caller) {
        self.event.actor = Some(Actor {
            object_id: Some(caller.object_id),
            client_id: Some(caller.client_id),
            name: caller.name.clone(),
        });
    }

    /// It passed the gates. A change is noted before it is made.
    ///
    /// # Errors
    /// When it cannot be noted, or when too many secrets of the client were wrong.
    pub(crate) async fn begin(
        &mut self,
        app: &App,
        headers: &HeaderMap,
        form: &[u8],
    ) -> Result<Option<Open>, ArmError> {
        if !self.recorded {
            return Ok(None);
        }
        if self.sign_in {
            let client_id = claimed_client(headers, form);
            let now = app.service.env().monotonic();
            app.limits.secret(client_id, self.peer, now)?;
            self.event.actor = Some(Actor { object_id: None, client_id, name: String::new() });
        } else {
            app.service.event_begin(&self.event).await?;
        }
        self.begun = true;
        Ok(Some(Open { event: self.event.clone(), peer: self.peer, sign_in: self.sign_in }))
    }

    /// A gate refused it.
    pub(crate) async fn refused(&self, app: &App, error: &ArmError) {
        let denied = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(&error.status);
        let busy = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        let failed = self.recorded && self.event.actor.is_some() && !busy.contains(&error.status);
        if self.begun || !(denied || failed) {
            return;
        }
        let mut event = self.event.clone();
        event.status = error.status.as_u16();
        event.code.clone_from(&error.code);
        record(app, event).await;
    }
}

impl Open {
    /// Records how it ended, before anybody is told.
    pub(crate) async fn end(mut self, app: &App, ended: &Result<Reply, ArmError>) {
        match ended {
            Ok(reply) => {
                self.event.status = reply.status.as_u16();
                if self.sign_in {
                    self.signed_in(app, reply).await;
                }
            }
            Err(error) => {
                self.event.status = error.status.as_u16();
                self.event.code.clone_from(&error.code);
            }
        }
        record(app, self.event).await;
    }

    /// What a token endpoint answered: who got a token, or what was wrong.
    async fn signed_in(&mut self, app: &App, reply: &Reply) {
        let member = |name| reply.body.as_ref().and_then(|body| body.get(name)?.as_str());
        if let Some((object, client_id)) = member("access_token").and_then(bearer) {
            let found = app.service.principal(object).await.ok().flatten();
            let name = found.map(|who| who.name).unwrap_or_default();
            self.event.actor = Some(Actor { object_id: Some(object), client_id, name });
        }
        if let Some(code) = member("error") {
            self.event.code = code.to_owned();
        }
        if reply.status == StatusCode::UNAUTHORIZED {
            let client = self.event.actor.as_ref().and_then(|actor| actor.client_id);
            let now = app.service.env().monotonic();
            app.limits.wrong_secret(client, self.peer, now);
        }
    }
}

/// Records a token that the endpoint of managed identities gave, or refused.
pub(crate) async fn identity_token(
    app: &App,
    head: &Parts,
    given: Result<&Principal, (StatusCode, &str)>,
) {
    let id = app.service.env().uuid();
    let mut trail = Trail::of(app, head, &Ids::read(&head.headers, id));
    "ManagedIdentityToken".clone_into(&mut trail.event.operation);
    match given {
        Ok(who) => {
            trail.event.status = StatusCode::OK.as_u16();
            trail.event.actor = Some(Actor {
                object_id: Some(who.object_id),
                client_id: Some(who.client_id),
                name: who.name.clone(),
            });
        }
        Err((status, code)) => {
            trail.event.status = status.as_u16();
            code.clone_into(&mut trail.event.code);
        }
    }
    record(app, trail.event).await;
}

/// Records a refusal of the data plane.
pub(crate) async fn refused_pages(
    app: &App,
    verb: &Method,
    peer: Option<IpAddr>,
    request: Uuid,
    refusal: (StatusCode, &str),
) {
    let env = app.service.env();
    let event = Event {
        id: env.uuid(),
        at: env.domain(),
        recorded: env.real(),
        actor: None,
        operation: "PageBlob".to_owned(),
        action: String::new(),
        resource: ResourceId::root(),
        verb: verb.as_str().to_owned(),
        peer,
        correlation: request,
        request,
        client_request: None,
        status: refusal.0.as_u16(),
        code: refusal.1.to_owned(),
        unrecorded: 0,
    };
    record(app, event).await;
}

/// Records an event, unless it is one of too many strangers.
async fn record(app: &App, mut event: Event) {
    let known = event.actor.as_ref().is_some_and(|actor| actor.object_id.is_some());
    if !known {
        let Some(unrecorded) = app.strangers.admit(app.service.env().monotonic()) else {
            return;
        };
        event.unrecorded = unrecorded;
    }
    app.service.event_end(event).await;
}

fn client_request(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("x-ms-client-request-id")?.to_str().ok()?;
    (text.len() <= NAME_MAX).then(|| text.to_owned())
}

/// The client that a token request claims to be.
fn claimed_client(headers: &HeaderMap, form: &[u8]) -> Option<Uuid> {
    let form = form.get(..FORM_MAX.min(form.len()))?;
    let basic = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(text) = basic.and_then(|text| text.split_once(' ')).map(|(_, text)| text) {
        let pair = zeroize::Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        let client = pair.split(|byte| *byte == b':').next()?;
        return Uuid::try_parse_ascii(client).ok();
    }
    let mut pairs = form_urlencoded::parse(form);
    let found = pairs.find(|(name, _)| name.eq_ignore_ascii_case("client_id"))?;
    Uuid::try_parse(&found.1).ok()
}

/// Object id and client id in a token that was just issued here.
fn bearer(token: &str) -> Option<(Uuid, Option<Uuid>)> {
    #[derive(Deserialize)]
    struct Claims {
        oid: Uuid,
        appid: Option<Uuid>,
    }
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Claims = serde_json::from_slice(&claims).ok()?;
    Some((claims.oid, claims.appid))
}

#[cfg(test)]
mod tests;
