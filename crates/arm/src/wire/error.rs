//! Errors as clients see them.
//!
//! An error that comes from the domain keeps its kind until the route's dialect is known, because
//! the same fault has another code in each provider. The internal cause travels with the error so
//! that it is logged once, with the request's correlation id, and is never part of the answer.

use super::body::Dialect;
use super::catalogue;
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use tresor_core::error::{Error, Fault, FaultKind};
use uuid::Uuid;

/// The internal reason of an error.
pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// An error answer; boxed, because it travels through every result.
#[derive(Clone, Debug)]
pub(crate) struct ArmError(Box<Told>);

/// What an error answer holds.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) target: Option<String>,
    pub(crate) details: Vec<Fault>,
    pub(crate) guidance: Vec<String>,
    /// Whether the answer carries the long `additionalInfo` form.
    pub(crate) rich: bool,
    pub(crate) retryable: bool,
    /// Set while the code depends on the route's dialect.
    pub(crate) kind: Option<FaultKind>,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) cause: Option<Cause>,
}

impl Deref for ArmError {
    type Target = Told;
    fn deref(&self) -> &Told {
        &self.0
    }
}

impl DerefMut for ArmError {
    fn deref_mut(&mut self) -> &mut Told {
        &mut self.0
    }
}

impl ArmError {
    /// An error in the short form.
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Told {
            status,
            code: code.to_owned(),
            message: message.into(),
            target: None,
            details: vec![],
            guidance: vec![],
            rich: false,
            retryable: false,
            kind: None,
            headers: vec![],
            cause: None,
        }))
    }

    /// 400 in the short form.
    pub(crate) fn bad(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// The body cannot be read as what the route takes.
    pub(crate) fn content(message: impl Into<String>) -> Self {
        Self::bad("InvalidRequestContent", message)
    }

    /// A member of the request is wrong.
    pub(crate) fn invalid(dialect: Dialect, path: &str, message: impl Into<String>) -> Self {
        Self::from_fault(&Fault::invalid(path, message), dialect)
    }

    /// A fault in the words of a dialect.
    pub(crate) fn from_fault(fault: &Fault, dialect: Dialect) -> Self {
        let mut error = Self::new(StatusCode::BAD_REQUEST, "", fault.message.clone());
        error.target = fault.target.clone();
        error.details = fault.details.clone();
        error.guidance = fault.guidance.clone();
        error.kind = Some(fault.kind);
        error.settled(dialect)
    }

    /// Chooses status and code by the route's dialect, if they depend on it.
    #[must_use]
    pub(crate) fn settled(mut self, dialect: Dialect) -> Self {
        if let Some(kind) = self.kind {
            let entry = catalogue::entry(kind, dialect);
            self.status = entry.status;
            self.code = entry.code.to_owned();
            self.retryable = entry.retryable;
            self.rich = entry.rich;
        }
        self
    }

    /// Adds a header.
    #[must_use]
    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// The body of an answer of Microsoft Graph.
    fn in_graph(&self, activity: Uuid) -> Value {
        let id = activity.to_string();
        let mut error = json!({
            "code": self.code,
            "message": self.message,
            "innerError": { "request-id": id, "client-request-id": id },
        });
        if let (Some(target), Some(error)) = (&self.target, error.as_object_mut()) {
            error.insert("target".into(), target.as_str().into());
        }
        json!({ "error": error })
    }

    /// The answer's body; `activity` is the request's correlation id.
    pub(crate) fn body(&self, dialect: Dialect, activity: Uuid) -> Value {
        if dialect == Dialect::Graph {
            return self.in_graph(activity);
        }
        let details: Vec<Value> = self.details.iter().map(|fault| short(fault, dialect)).collect();
        let details = if details.is_empty() { Value::Null } else { Value::Array(details) };
        let mut error = serde_json::Map::new();
        if let Some(kind) = self.kind.filter(|_| self.rich) {
            let fault = Fault {
                kind,
                message: self.message.clone(),
                guidance: self.guidance.clone(),
                target: self.target.clone(),
                details: self.details.clone(),
            };
            let info = catalogue::user_facing(&fault, dialect, activity);
            let info = json!([{"type": "UserFacingError", "info": info}]);
            error.insert("additionalInfo".into(), info);
        }
        error.insert("code".into(), self.code.clone().into());
        error.insert("message".into(), self.message.clone().into());
        if self.rich || !details.is_null() || self.target.is_some() {
            error.insert("target".into(), self.target.clone().into());
            error.insert("details".into(), details);
        }
        json!({ "error": error })
    }
}

/// A fault without the long form.
fn short(fault: &Fault, dialect: Dialect) -> Value {
    let mut value = json!({
        "code": catalogue::entry(fault.kind, dialect).code,
        "message": fault.message,
        "target": fault.target,
    });
    let details: Vec<Value> = fault.details.iter().map(|f| short(f, dialect)).collect();
    if let (false, Some(object)) = (details.is_empty(), value.as_object_mut()) {
        object.insert("details".into(), Value::Array(details));
    }
    value
}

/// The `error` member of an operation that failed.
pub(crate) fn operation_error(fault: &Fault, dialect: Dialect, activity: Uuid) -> Value {
    let details: Vec<Value> = fault.details.iter().map(|f| short(f, dialect)).collect();
    let code = catalogue::entry(fault.kind, dialect).code;
    let mut error = json!({});
    if let Some(object) = error.as_object_mut() {
        if dialect == Dialect::DataProtection {
            let info = catalogue::user_facing(fault, dialect, activity);
            let info = json!([{"type": "UserFacingError", "info": info}]);
            object.insert("additionalInfo".into(), info);
        }
        object.insert("code".into(), code.into());
        object.insert("message".into(), fault.message.clone().into());
        if fault.target.is_some() {
            object.insert("target".into(), fault.target.clone().into());
        }
        if !details.is_empty() {
            object.insert("details".into(), Value::Array(details));
        }
    }
    error
}

impl From<Error> for ArmError {
    fn from(error: Error) -> Self {
        let mut found = Self::from_fault(&error.fault, Dialect::Arm);
        found.cause = error.cause;
        found
    }
}

impl From<Fault> for ArmError {
    fn from(fault: Fault) -> Self {
        Self::from_fault(&fault, Dialect::Arm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_speaks_the_routes_dialect() {
        let error = ArmError::from(Error::from(Fault::not_found("vault", "v")));
        assert_eq!(error.code, "ResourceNotFound");
        let error = error.settled(Dialect::DataProtection);
        assert_eq!(error.code, "UserErrorGenericResourceNotFound");
        assert_eq!(error.status, StatusCode::NOT_FOUND);
    }

    #[test]
    fn the_rich_form_has_what_clients_print() {
        let fault = Fault::new(FaultKind::DatasourceAlreadyProtected, "taken by vault v")
            .advise("Delete the other instance.");
        let activity = Uuid::from_u128(7);
        let body = ArmError::from_fault(&fault, Dialect::DataProtection)
            .body(Dialect::DataProtection, activity);
        let info = &body["error"]["additionalInfo"][0]["info"];
        assert_eq!(body["error"]["code"], "UserErrorDppDatasourceAlreadyProtected");
        assert_eq!(info["recommendedAction"][0], "Delete the other instance.");
        assert_eq!(info["properties"]["ActivityId"], activity.to_string());
        assert_eq!(info["isUserError"], false);
        assert!(body["error"]["details"].is_null());
    }

    #[test]
    fn operations_tell_every_cause() {
        let mut fault = Fault::new(FaultKind::PermissionsMissing, "permissions are missing");
        fault.details =
            vec![Fault::new(FaultKind::PermissionsMissing, "disks/read over /a").at("/a")];
        let error = operation_error(&fault, Dialect::DataProtection, Uuid::nil());
        assert_eq!(error["code"], "UserErrorMissingRequiredPermissions");
        assert_eq!(error["details"][0]["target"], "/a");
        let inner = &error["additionalInfo"][0]["info"]["innerError"];
        let text = inner["additionalInfo"]["DetailedNonLocalisedMessage"].as_str().unwrap();
        assert!(text.contains("disks/read over /a"));
    }

    #[test]
    fn causes_are_never_shown() {
        let error = ArmError::from(Error::internal("a test", "the password is x"));
        let body = error.body(Dialect::Arm, Uuid::nil()).to_string();
        assert!(!body.contains("password") && error.cause.is_some());
        assert_eq!(error.status, StatusCode::INTERNAL_SERVER_ERROR);
    }
}
