//! Faults: armed, listed, cleared.

use super::{hooks, is_one, only, target};
use crate::table::{Action, Route};
use crate::wire::body::{Dialect, Field};
use crate::wire::catalogue;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use http::StatusCode;
use serde_json::{Value, json};
use tresor_core::error::{Fault, FaultKind};
use tresor_core::hook::{Armed, Place};

/// Characters of a message that a test gives.
const MESSAGE_MAX: usize = 500;
const PLACES: [&str; 3] = ["request", "operation", "job"];
const DIALECTS: [Dialect; 3] = [Dialect::DataProtection, Dialect::Compute, Dialect::Arm];

pub(super) async fn list(request: Request) -> Result<Reply, ArmError> {
    let armed = hooks(&request)?.faults().armed();
    let routes = routes(&request);
    let shown: Vec<Value> = armed.iter().map(|armed| shown(armed, &routes)).collect();
    Ok(Reply::ok(json!({ "value": shown })))
}

pub(super) async fn clear(request: Request) -> Result<Reply, ArmError> {
    hooks(&request)?.faults().clear();
    Ok(Reply::no_content())
}

pub(super) async fn arm(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    only(&root, &["operation", "code", "where", "times", "message"])?;
    let routes = routes(&request);
    let at = root.get("operation");
    let operation = target::parse(at.need_str()?, &routes).map_err(|text| at.invalid(text))?;
    let place = place(&root, &operation, &routes)?;
    let kind = kind(&root, &operation, &routes)?;
    let times = root.get("times");
    let count = times.i64()?.unwrap_or(1);
    let count = u32::try_from(count).map_err(|_| times.invalid("must be at least 1."))?;
    let fault = Fault::new(kind, message(&root)?);
    let armed = hooks(&request)?.faults().arm(operation, place, fault, count)?;
    Ok(Reply::new(StatusCode::CREATED, shown(&armed, &routes)))
}

/// The operations that a fault can be for: all that take a token, but the hooks themselves.
fn routes(request: &Request) -> Vec<&Route> {
    let all = request.app.table.routes();
    all.filter(|route| !is_one(route) && route.action != Action::Public).collect()
}

fn place(root: &Field<'_>, operation: &str, routes: &[&Route]) -> Result<Place, ArmError> {
    let field = root.get("where");
    let place = match field.word(&PLACES)? {
        Some("operation") => Place::Operation,
        Some("job") => Place::Job,
        _ => Place::Request,
    };
    if place != Place::Request && target::only_reads(operation, routes) {
        return Err(field.invalid(format!("{operation} only reads; use request.")));
    }
    Ok(place)
}

/// The kind behind a code, as the provider of the operation writes codes. A pattern may be for
/// several providers: then the code of any of them will do.
fn kind(root: &Field<'_>, operation: &str, routes: &[&Route]) -> Result<FaultKind, ArmError> {
    let field = root.get("code");
    let code = field.need_str()?.trim();
    let own = Dialect::of_path(target::path(operation, routes));
    if let Some(kind) = catalogue::kind_of(code, own) {
        return Ok(kind);
    }
    let pattern = operation.contains(' ');
    let any = DIALECTS.iter().find_map(|dialect| catalogue::kind_of(code, *dialect));
    if let Some(kind) = any.filter(|_| pattern) {
        return Ok(kind);
    }
    let code: String = code.chars().take(100).collect();
    let near = target::nearest(&code, catalogue::codes(own)).join(", ");
    Err(field.invalid(match any {
        Some(_) => format!("{operation} never answers '{code}'; near are {near}."),
        None => format!("there is no error '{code}'; near are {near}."),
    }))
}

fn message(root: &Field<'_>) -> Result<String, ArmError> {
    let field = root.get("message");
    match field.str()? {
        Some(text) if text.chars().count() > MESSAGE_MAX => {
            Err(field.invalid(format!("must have at most {MESSAGE_MAX} characters.")))
        }
        Some(text) if !text.trim().is_empty() => Ok(text.to_owned()),
        _ => Ok("A test made this fail (POST /_tresor/faults).".to_owned()),
    }
}

fn shown(armed: &Armed, routes: &[&Route]) -> Value {
    let dialect = Dialect::of_path(target::path(&armed.target, routes));
    let place = match armed.place {
        Place::Request => "request",
        Place::Operation => "operation",
        Place::Job => "job",
    };
    json!({
        "id": armed.id,
        "operation": armed.target,
        "code": catalogue::entry(armed.fault.kind, dialect).code,
        "where": place,
        "times": armed.times,
        "message": armed.fault.message,
    })
}
