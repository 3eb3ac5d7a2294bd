//! The way of a request from HTTP to its handler and back.
//!
//! The gates stand in one order for every route, so that none can be forgotten: framing, size,
//! route, place, token, rate, api-version, subscription, right, body, audit. Routes that take no
//! token have fewer places, smaller bodies and less patience, and their bodies are never parsed
//! here. A handler runs in a task of its own: a client that hangs up cannot stop it halfway, and a
//! panic becomes a 500 of the usual shape.

use super::audit::{Open, Trail};
use super::body::Dialect;
use super::error::ArmError;
use super::header::{self, Ids};
use super::limit;
use super::path;
use super::record::Record;
use super::reply::Reply;
use super::request::{Params, Query, Request};
use super::version::{ApiVersion, Versions};
use crate::App;
use crate::table::{Action, Found, Route, named_lengths};
use axum::body::Body;
use bytes::Bytes;
use futures::FutureExt;
use http::{HeaderValue, Method, Response, StatusCode, header as names};
use serde_json::Value;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::Instrument;
use tresor_core::error::chain;
use tresor_core::hook::Pending;
use tresor_core::model::ResourceId;
use tresor_core::service::Caller;
use uuid::Uuid;

/// Most bytes of a body that comes without a token, and how long it may take.
const PUBLIC_BODY: usize = 64 << 10;
const PUBLIC_PATIENCE: Duration = Duration::from_secs(5);
/// Most values of a JSON body: each takes more memory than its text.
const VALUES_MAX: usize = 100_000;

type Incoming = http::Request<Body>;

/// Answers one request.
pub(crate) async fn serve(app: Arc<App>, incoming: Incoming) -> Response<Body> {
    let ids = Ids::read(incoming.headers(), app.service.env().uuid());
    let method = incoming.method().clone();
    let path = incoming.uri().path().to_owned();
    // The query may hold a signature: it is never logged.
    let span = tracing::info_span!("request", %method, path, correlation = %ids.correlation);
    let begun = app.service.env().monotonic();
    let record = Record::of(&incoming);
    let answer = async {
        let (mut response, operation) = answer(&app, incoming, &ids).await;
        let region = app.home();
        ids.stamp(response.headers_mut(), region, app.service.env().real());
        let took = app.service.env().monotonic().saturating_sub(begun);
        record.write(operation, response.status().as_u16(), took.as_millis() as u64);
        response
    };
    answer.instrument(span).await
}

/// The answer, and the name of the operation; empty where there is none.
async fn answer(app: &Arc<App>, incoming: Incoming, ids: &Ids) -> (Response<Body>, &'static str) {
    // The data plane has places of its own, and its clients read XML only.
    if crate::blob::is_blob(&incoming) {
        let operation = crate::blob::operation(&incoming);
        return (crate::blob::serve(Arc::clone(app), incoming).await, operation);
    }
    let (head, body) = incoming.into_parts();
    let dialect = Dialect::of_path(head.uri.path());
    let method = head.method.clone();
    let mut trail = Trail::of(app, &head, ids);
    let found = limit::framing(&head.headers).and_then(|()| target(app, &head));
    let (operation, reply) = match found {
        Ok(target) => (target.route.name, gates(app, target, head, body, ids, &mut trail).await),
        Err(error) => ("", Err(error)),
    };
    let mut response = match reply {
        Ok(reply) => success(reply, &method),
        Err(error) => {
            let error = error.settled(dialect);
            trail.refused(app, &error).await;
            let throttled = error.status == StatusCode::TOO_MANY_REQUESTS;
            let oauth =
                (throttled && trail.is_sign_in()).then(|| limit::oauth(&error, ids.correlation));
            failure(&error, &oauth.unwrap_or_else(|| error.body(dialect, ids.correlation)))
        }
    };
    if let Some(remaining) = &trail.remaining {
        remaining.stamp(response.headers_mut());
    }
    (response, operation)
}

/// What a route may look at before a body is read.
struct Target<'a> {
    route: &'a Route,
    params: Params,
    segments: Vec<String>,
    query: Query,
    base: String,
}

async fn gates(
    app: &Arc<App>,
    target: Target<'_>,
    head: http::request::Parts,
    body: Body,
    ids: &Ids,
    trail: &mut Trail,
) -> Result<Reply, ArmError> {
    trail.found(target.route, id_of(&target));
    let public = target.route.action == Action::Public;
    let now = app.service.env().monotonic();
    if public {
        app.limits.anonymous(trail.peer(), now)?;
    }
    let permit = place(if public { &app.public } else { &app.requests })?;
    let caller = caller(app, &target, &head, ids, trail).await?;
    let path = format!("/{}", target.segments.join("/"));
    let (kind, location) = (kind_of(target.route.path), app.home());
    let version = ApiVersion::read(
        target.query.get("api-version"),
        target.route.versions,
        target.route.since,
        &kind,
        location,
    )?;
    let id = subject(app, &target)?;
    if let Action::Rbac(action) = target.route.action {
        app.service.allow(&caller, action, &id).await?;
    }
    if crate::hook::is_one(target.route) {
        crate::hook::admit(&head.extensions)?;
    }
    let timeout = app.wire.request_timeout;
    let (limit, patience) = match public {
        true => (app.wire.max_body.min(PUBLIC_BODY), timeout.min(PUBLIC_PATIENCE)),
        false => (app.wire.max_body, timeout),
    };
    let _room = app.limits.room(&body, limit)?;
    let read = tokio::time::timeout(patience, read_body(limit, &head.headers, body));
    let bytes = read.await.map_err(|_| {
        let text = "The request's body did not arrive in time.";
        ArmError::new(StatusCode::REQUEST_TIMEOUT, "RequestTimeout", text)
    })??;
    let form = public && is_form(&head.headers);
    let request = Request {
        app: Arc::clone(app),
        caller,
        version,
        id,
        params: target.params,
        query: target.query,
        body: if public { None } else { parse(&bytes)? },
        form: if form { bytes } else { Bytes::new() },
        headers: head.headers,
        base: target.base,
        path,
        dialect: Dialect::of_path(head.uri.path()),
    };
    let pending = crate::hook::strike(target.route, &request)?;
    let open = trail.begin(app, &request.headers, &request.form).await?;
    run(target.route, request, pending, permit, open).await
}

/// A place among the requests that are worked on.
fn place(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, ArmError> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        ArmError::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "The service works on as many requests as it may; come back in a moment.",
        )
        .header(names::RETRY_AFTER, "1")
    })
}

/// Runs a handler in a task that outlives the connection, and records how it ended.
async fn run(
    route: &Route,
    request: Request,
    pending: Option<Pending>,
    permit: OwnedSemaphorePermit,
    open: Option<Open>,
) -> Result<Reply, ArmError> {
    let (app, dialect) = (Arc::clone(&request.app), request.dialect);
    let timeout = app.wire.request_timeout;
    let work = crate::hook::carrying(pending, (route.handler)(request));
    let work = AssertUnwindSafe(work).catch_unwind();
    let task = async move {
        let ended = work.await.unwrap_or_else(|_| Err(broken("a handler panicked")));
        let ended = ended.map_err(|error| error.settled(dialect));
        if let Some(open) = open {
            open.end(&app, &ended).await;
        }
        drop(permit);
        ended
    };
    let task = tokio::spawn(task.in_current_span());
    match tokio::time::timeout(timeout, task).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(ended)) => Err(broken(ended)),
        Err(_) => Err(ArmError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "RequestTimeout",
            "The request takes longer than it may; it goes on, so read the resource again.",
        )
        .header(names::RETRY_AFTER, "5")),
    }
}

/// A fault of ours that no handler told of.
fn broken(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ArmError {
    let text = "The request met a fault of the service, which is in its log.";
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let mut error = ArmError::new(status, "InternalServerError", text);
    error.cause = Some(Arc::from(cause.into()));
    error
}

fn target<'a>(app: &'a App, head: &http::request::Parts) -> Result<Target<'a>, ArmError> {
    let length = head.uri.path_and_query().map_or(0, |text| text.as_str().len());
    if length > app.wire.max_target {
        let text = format!("The URL has {length} bytes; at most {} fit.", app.wire.max_target);
        return Err(ArmError::new(StatusCode::URI_TOO_LONG, "RequestUriTooLong", text));
    }
    let base = path::base(app.wire.base_url.as_deref(), &head.uri, &head.headers)?;
    let segments = path::segments(head.uri.path())?;
    let query = Query::parse(head.uri.query().unwrap_or_default());
    match app.table.find(&head.method, &segments) {
        Found::Route(route, params) => Ok(Target { route, params, segments, query, base }),
        Found::Methods(methods) => {
            let allowed: Vec<&str> = methods.iter().map(Method::as_str).collect();
            let text = format!("The method {} is not supported here.", head.method);
            Err(ArmError::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", text)
                .header(names::ALLOW, &allowed.join(", ")))
        }
        Found::Nothing if crate::graph::is_graph(head.uri.path()) => {
            Err(crate::graph::unsupported(&head.method, &segments))
        }
        Found::Nothing => Err(unknown(app, &segments, &query)),
    }
}

/// The refusal of a path that no route has.
fn unknown(app: &App, segments: &[String], query: &Query) -> ArmError {
    let at = segments.iter().rposition(|s| s.eq_ignore_ascii_case("providers"));
    let namespace = at.and_then(|at| segments.get(at + 1));
    let Some(namespace) = namespace else {
        let text = format!("There is nothing at '/{}'.", segments.join("/"));
        return ArmError::new(StatusCode::NOT_FOUND, "NotFound", text);
    };
    let known = app
        .table
        .routes()
        .any(|route| route.path.split('/').any(|part| part.eq_ignore_ascii_case(namespace)));
    if !known {
        let text = format!("The resource namespace '{namespace}' is invalid.");
        return ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceNamespace", text);
    }
    let version = query.get("api-version").unwrap_or_default();
    let text = format!(
        "The resource type could not be found in the namespace '{namespace}' for api version \
         '{version}'."
    );
    ArmError::new(StatusCode::NOT_FOUND, "InvalidResourceType", text)
}

/// The resource type that a path is about, as refusals of a version name it.
fn kind_of(path: &str) -> String {
    let tail = path.rsplit_once("/providers/").map_or(path, |(_, tail)| tail);
    let words = tail.split('/').skip(1).filter(|s| !s.is_empty() && !s.starts_with('{'));
    words.collect::<Vec<_>>().join("/")
}

async fn caller(
    app: &App,
    target: &Target<'_>,
    head: &http::request::Parts,
    ids: &Ids,
    trail: &mut Trail,
) -> Result<Caller, ArmError> {
    if target.route.action == Action::Public {
        let nobody = Uuid::nil();
        return Ok(Caller::new(nobody, nobody, String::new(), ids.correlation));
    }
    let now = app.service.env().monotonic();
    let found =
        crate::auth::bearer::caller(app, &head.headers, &target.base, ids.correlation).await;
    let caller = match found {
        Ok(caller) => caller,
        Err(error) => {
            app.limits.anonymous(trail.peer(), now)?;
            return Err(error);
        }
    };
    trail.by(&caller);
    trail.remaining = app.limits.principal(caller.object_id, &head.method, now)?;
    Ok(caller)
}

/// The id that the request is about; its subscription must be ours.
fn subject(app: &App, target: &Target<'_>) -> Result<ResourceId, ArmError> {
    if let [first, subscription, ..] = target.segments.as_slice()
        && first.eq_ignore_ascii_case("subscriptions")
    {
        check_subscription(app, subscription)?;
    }
    if target.route.versions != Versions::None {
        for (name, value) in &target.params.0 {
            if value.chars().any(|c| "<>%&?#\"".contains(c)) {
                let text = format!("The path's {name} '{value}' has a character that names lack.");
                return Err(ArmError::bad("InvalidResourceName", text));
            }
        }
    }
    Ok(id_of(target))
}

fn id_of(target: &Target<'_>) -> ResourceId {
    let lengths = named_lengths(target.route.path, target.segments.len());
    let texts = lengths.into_iter().filter_map(|length| target.segments.get(..length));
    let found = texts
        .map(|part| format!("/{}", part.join("/")))
        .find_map(|text| ResourceId::parse(&text).ok());
    found.unwrap_or_else(ResourceId::root)
}

fn check_subscription(app: &App, text: &str) -> Result<(), ArmError> {
    let Ok(id) = Uuid::try_parse(text) else {
        let text =
            format!("The provided subscription identifier '{text}' is malformed or invalid.");
        return Err(ArmError::bad("InvalidSubscriptionId", text));
    };
    if id == app.service.subscription() {
        return Ok(());
    }
    let text = format!("The subscription '{text}' could not be found.");
    Err(ArmError::new(StatusCode::NOT_FOUND, "SubscriptionNotFound", text))
}

async fn read_body(limit: usize, headers: &http::HeaderMap, body: Body) -> Result<Bytes, ArmError> {
    let announced = headers.get(names::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    let announced = announced.and_then(|text| text.parse::<usize>().ok()).unwrap_or(0);
    let too_large = || {
        let text = format!("The request's body is larger than the {limit} bytes that it may have.");
        ArmError::new(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", text)
            .header(names::CONNECTION, "close")
    };
    if announced > limit {
        return Err(too_large());
    }
    match axum::body::to_bytes(body, limit).await {
        Ok(bytes) => Ok(bytes),
        Err(error) => {
            let inner = std::error::Error::source(&error);
            if inner.is_some_and(|e| e.is::<http_body_util::LengthLimitError>()) {
                return Err(too_large());
            }
            Err(ArmError::content("The request's body could not be read to its end."))
        }
    }
}

fn is_form(headers: &http::HeaderMap) -> bool {
    let kind = headers.get(names::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    kind.trim().to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
}

fn parse(bytes: &[u8]) -> Result<Option<Value>, ArmError> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    // Too many rather than too few are counted: marks inside of texts count too.
    let values = bytes.iter().filter(|byte| b",[{".contains(byte)).count();
    if values > VALUES_MAX {
        let text = format!("The request content has more than {VALUES_MAX} values.");
        return Err(ArmError::content(text));
    }
    serde_json::from_slice(bytes).map(Some).map_err(|error| {
        let text = format!("The request content is not valid JSON: {error}.");
        ArmError::content(text)
    })
}

fn success(reply: Reply, method: &Method) -> Response<Body> {
    let body = reply.body.filter(|_| method != Method::HEAD);
    let mut response = match body {
        Some(value) => json(&value),
        None => Response::new(Body::empty()),
    };
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    response
}

fn failure(error: &ArmError, body: &Value) -> Response<Body> {
    if let Some(cause) = &error.cause {
        tracing::error!(cause = chain(&**cause), "{}", error.message);
    }
    let mut response = json(body);
    *response.status_mut() = error.status;
    if let Ok(code) = HeaderValue::from_str(&error.code) {
        response.headers_mut().insert(header::ERROR_CODE, code);
    }
    for (name, value) in &error.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

fn json(value: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(value.to_string()));
    let kind = HeaderValue::from_static("application/json; charset=utf-8");
    response.headers_mut().insert(names::CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests;
