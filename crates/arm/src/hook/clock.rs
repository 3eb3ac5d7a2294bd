//! The domain clock: what it shows, and moving it on.

use super::{hooks, only};
use crate::types::job;
use crate::wire::error::ArmError;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use jiff::{Span, Timestamp};
use serde_json::{Value, json};
use std::time::Duration;
use tresor_core::error::{Error, Fault, FaultKind};
use tresor_core::model::Job;

/// How long an answer waits for due work when the request does not say.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn get(request: Request) -> Result<Reply, ArmError> {
    let manual = hooks(&request)?.clock().is_some();
    let kind = if manual { "manual" } else { "system" };
    let env = request.app.service.env();
    Ok(Reply::ok(json!({
        "clock": kind,
        "now": env.domain().to_string(),
        "real": env.real().to_string(),
    })))
}

/// Where a request wants the clock.
enum Step {
    Stay,
    By(Span),
    To(Timestamp),
}

/// Moves the clock and answers when everything that is due is done. What was begun before is done
/// before, so that it carries the time at which it was asked for.
pub(super) async fn advance(request: Request) -> Result<Reply, ArmError> {
    let (patience, step) = (patience(&request)?, step(&request)?);
    let service = &request.app.service;
    let begun = service.env().monotonic();
    let mut rest = service.settle(patience).await.map_err(|error| unsettled(&request, error))?;
    if let Some(clock) = hooks(&request)?.clock() {
        match step {
            Step::Stay => {}
            Step::By(span) => {
                clock.advance(span)?;
            }
            Step::To(time) => {
                clock.advance_to(time)?;
            }
        }
        let left = patience.saturating_sub(service.env().monotonic().saturating_sub(begun));
        rest = service.settle(left).await.map_err(|error| unsettled(&request, error))?;
    }
    let ended = hooks(&request)?.take_ended();
    let jobs: Vec<Value> = ended.jobs.iter().map(shown).collect();
    Ok(Reply::ok(json!({
        "now": service.env().domain().to_string(),
        "jobs": jobs,
        "jobsLeftOut": ended.left_out,
        "waiting": rest.waiting,
    })))
}

fn unsettled(request: &Request, mut error: Error) -> ArmError {
    let now = request.app.service.env().domain();
    error.fault.message = format!("The clock shows {now}. {}", error.fault.message);
    error.into()
}

/// How long to wait: less than the request itself may take.
fn patience(request: &Request) -> Result<Duration, ArmError> {
    let most = request.app.wire.request_timeout.saturating_sub(Duration::from_secs(1));
    let Some(root) = request.optional_root()? else { return Ok(PATIENCE.min(most)) };
    let field = root.get("timeout");
    let Some(text) = field.str()? else { return Ok(PATIENCE.min(most)) };
    let wanted = text.parse::<jiff::SignedDuration>().ok();
    match wanted.and_then(|wanted| Duration::try_from(wanted).ok()) {
        Some(wanted) if wanted <= most => Ok(wanted),
        _ => Err(field.invalid(format!(
            "must be a duration such as PT10S of at most {} s (setting wire.request_seconds).",
            most.as_secs()
        ))),
    }
}

/// By `advance`, or on to `to`; without either it stays.
fn step(request: &Request) -> Result<Step, ArmError> {
    let Some(root) = request.optional_root()? else { return Ok(Step::Stay) };
    only(&root, &["advance", "to", "timeout"])?;
    let (advance, to) = (root.get("advance"), root.get("to"));
    let step = match (advance.str()?, to.str()?) {
        (Some(_), Some(_)) => return Err(to.invalid("give either advance or to, not both.")),
        (Some(text), None) => Step::By(text.parse().map_err(|_| {
            advance.invalid(format!("'{text}' is no duration such as PT4H or P14D."))
        })?),
        (None, Some(text)) => Step::To(text.parse().map_err(|_| {
            to.invalid(format!("'{text}' is no time such as 2026-01-01T00:00:00Z."))
        })?),
        (None, None) => return Ok(Step::Stay),
    };
    if hooks(request)?.clock().is_none() {
        let message = "The service goes by the machine's clock; start it with --clock manual.";
        let fault = Fault::new(FaultKind::Unsupported, message);
        return Err(ArmError::from_fault(&fault, request.dialect));
    }
    Ok(step)
}

/// What a test wants to know of a job that ended.
fn shown(job: &Job) -> Value {
    let full = job::json(job, job::View::Full);
    let part = |name: &str| full.pointer(&format!("/properties/{name}")).cloned();
    let code = full.pointer("/properties/errorDetails/0/code").cloned();
    json!({
        "id": full.get("id"),
        "operation": part("operation"),
        "status": part("status"),
        "backupInstanceId": part("backupInstanceId"),
        "endTime": part("endTime"),
        "errorCode": code,
    })
}
