//! What the service refused, and what the caller can do about it.
//!
//! Azure's errors come in two shapes: `code`, `message`, `target`, `details` of the wire, with the
//! long form in `additionalInfo`; and the long form itself, in jobs, with `recommendedAction`. Both
//! are read here, once.

use std::io;

use serde_json::Value;

use super::text;

/// An error that the service told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.shown())]
pub(crate) struct Refusal {
    /// HTTP's status; 0 when an operation or a job ended so.
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    details: Vec<Detail>,
    /// What the service advises.
    actions: Vec<String>,
}

/// One cause of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Detail {
    code: String,
    message: String,
}

/// Whoever is signed in has to sign in again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SignedOut(pub(crate) &'static str);

impl Refusal {
    /// A refusal of a code.
    pub(crate) fn new(status: u16, code: &str, message: &str) -> Refusal {
        Refusal {
            status,
            code: plain(code),
            message: plain(message),
            details: Vec::new(),
            actions: Vec::new(),
        }
    }

    /// Reads an error of either shape.
    pub(crate) fn read(status: u16, error: Option<&Value>) -> Refusal {
        let Some(error) = error.filter(|error| error.is_object()) else {
            return Refusal::new(status, "Unknown", "no error of the service's shape was told");
        };
        let part = |value: &Value, at: &str| plain(text(value, at).unwrap_or_default());
        let details = error.get("details").and_then(Value::as_array);
        let details = details.map(Vec::as_slice).unwrap_or_default().iter();
        let long = error.pointer("/additionalInfo/0/info").unwrap_or(error);
        let actions = match long.get("recommendedAction") {
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(plain).collect(),
            Some(Value::String(one)) => vec![plain(one)],
            _ => Vec::new(),
        };
        Refusal {
            status,
            code: part(error, "/code"),
            message: part(error, "/message"),
            details: details
                .map(|detail| Detail {
                    code: part(detail, "/code"),
                    message: part(detail, "/message"),
                })
                .collect(),
            actions,
        }
    }

    fn shown(&self) -> String {
        let mut text = String::new();
        if self.status != 0 {
            text.push_str(&format!("{} ", self.status));
        }
        text.push_str(&format!("{}: {}", self.code, self.message));
        for detail in self.details.iter().filter(|detail| detail.message != self.message) {
            text.push_str(&format!("\n  {}: {}", detail.code, detail.message));
        }
        text
    }

    /// What the caller can do next.
    pub(crate) fn advice(&self) -> Option<String> {
        let commands = self.missing_rights();
        if !commands.is_empty() {
            let lines = commands.join("\n        ");
            return Some(format!("whoever owns the scope can run\n        {lines}"));
        }
        if self.code == "invalid_client" || self.code == "unauthorized_client" {
            let text = "check TENANT_ID, CLIENT_ID and CLIENT_SECRET, or `tresor login` again; \
                        `tresor env --data DIR` prints the owner's";
            return Some(text.to_owned());
        }
        let mut actions = self.actions.clone();
        actions.dedup();
        (!actions.is_empty()).then(|| actions.join("\n      "))
    }

    /// The commands that give the rights which are missing, one for each principal, role and
    /// scope.
    fn missing_rights(&self) -> Vec<String> {
        let lacking = match self.code.as_str() {
            "AuthorizationFailed" => vec![self.message.as_str()],
            "UserErrorMissingRequiredPermissions" => {
                self.details.iter().map(|detail| detail.message.as_str()).collect()
            }
            _ => Vec::new(),
        };
        let mut commands: Vec<String> = Vec::new();
        for command in lacking.into_iter().filter_map(assignment) {
            if !commands.contains(&command) {
                commands.push(command);
            }
        }
        commands
    }
}

/// The command that gives the right which a message says is missing.
fn assignment(message: &str) -> Option<String> {
    let quoted = |after: &str| {
        let (_, rest) = message.split_once(after)?;
        rest.split_once('\'').map(|(word, _)| word)
    };
    let principal = quoted("with object id '")?;
    let action = quoted("to perform action '")?;
    let scope = quoted("over scope '")?;
    let role = quoted("The role '").unwrap_or_else(|| role_for(action));
    let quote = crate::cmd::env::quoted;
    let (role, scope) = (quote(role), quote(scope));
    Some(format!("tresor role assign --assignee {principal} --role {role} --scope {scope}"))
}

/// The narrowest of the common built-in roles that has an action.
fn role_for(action: &str) -> &'static str {
    let action = action.to_ascii_lowercase();
    if action.ends_with("/read") {
        "Reader"
    } else if action.starts_with("microsoft.authorization/") {
        "User Access Administrator"
    } else if action.starts_with("microsoft.dataprotection/backupvaults/") {
        "Backup Contributor"
    } else {
        "Contributor"
    }
}

/// A text of the service without what could steer a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Whether the service said that what was asked for is not there.
pub(crate) fn not_found(error: &anyhow::Error) -> bool {
    error.downcast_ref::<Refusal>().is_some_and(|refusal| refusal.status == 404)
}

/// What the caller can do about an error of this module's making, or about a service that cannot
/// be reached.
pub(crate) fn advice(error: &anyhow::Error) -> Option<String> {
    if error.downcast_ref::<SignedOut>().is_some() {
        let text = "sign in again with `tresor login`; scripts set CLIENT_ID and CLIENT_SECRET \
                    instead, which never ends";
        return Some(text.to_owned());
    }
    if let Some(refusal) = error.downcast_ref::<Refusal>() {
        return refusal.advice();
    }
    if error.chain().any(is_certificate) {
        let text = "the service's certificate is not trusted here: set CA_FILE to its ca.pem, as \
                    `tresor env --data DIR` prints it";
        return Some(text.to_owned());
    }
    let link = error.chain().find_map(|link| link.downcast_ref::<reqwest::Error>())?;
    if link.is_connect() {
        let text = "is the service running? `tresor serve --data DIR` starts it; `tresor account \
                    show` tells which address is asked";
        return Some(text.to_owned());
    }
    link.is_timeout().then(|| "the service did not answer in time; see its log".to_owned())
}

/// Whether an error is about the certificate of the other side. What an I/O error wraps is not
/// among its sources, and it may wrap another one.
fn is_certificate(link: &(dyn std::error::Error + 'static)) -> bool {
    use rustls::Error as Tls;
    if let Some(error) = link.downcast_ref::<Tls>() {
        return matches!(error, Tls::InvalidCertificate(_) | Tls::NoCertificatesPresented);
    }
    let wrapped = link.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    wrapped.is_some_and(|inner| is_certificate(inner))
}
