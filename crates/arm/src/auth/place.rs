//! Where the authority is spoken to: the tenant in a path, and names of this very service.

use crate::wire::request::Request;
use uuid::Uuid;

/// The word that stands for the only tenant of an authority of the ADFS kind.
pub(crate) const ADFS: &str = "adfs";

/// The form of authority that a path uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    adfs: bool,
    tenant: Option<String>,
}

impl Place {
    /// The form of a request's path.
    pub(crate) fn of(request: &Request) -> Self {
        let first = request.path.split('/').find(|s| !s.is_empty()).unwrap_or_default();
        let adfs = first.eq_ignore_ascii_case(ADFS);
        let tenant = Some(request.params.get("tenant")).filter(|t| !t.is_empty());
        let tenant = tenant.filter(|t| !t.eq_ignore_ascii_case(ADFS));
        Self { adfs, tenant: tenant.map(str::to_owned) }
    }

    /// Whether it names our tenant, or lets us choose it.
    pub(crate) fn is(&self, ours: Uuid) -> bool {
        let Some(named) = &self.tenant else {
            return true;
        };
        let any = ["common", "organizations"];
        any.iter().any(|word| word.eq_ignore_ascii_case(named))
            || Uuid::try_parse(named).is_ok_and(|id| id == ours)
    }

    /// The tenant as the path names it.
    pub(crate) fn tenant(&self) -> &str {
        self.tenant.as_deref().unwrap_or(ADFS)
    }

    /// The URL above all endpoints of this form.
    pub(crate) fn root(&self, base: &str) -> String {
        match (self.adfs, &self.tenant) {
            (false, _) => format!("{base}/{}", self.tenant()),
            (true, None) => format!("{base}/{ADFS}"),
            (true, Some(tenant)) => format!("{base}/{ADFS}/{tenant}"),
        }
    }

    /// The issuer that this form announces; clients want it at the host that they asked.
    pub(crate) fn issuer(&self, base: &str, ours: Uuid) -> String {
        match (self.adfs, &self.tenant) {
            (true, None) => format!("{base}/{ADFS}"),
            _ => issuer(base, ours),
        }
    }

    /// Whether the versioned endpoints belong to this form.
    pub(crate) fn is_versioned(&self) -> bool {
        self.tenant.is_some()
    }
}

/// The issuer in tokens.
pub(crate) fn issuer(base: &str, tenant: Uuid) -> String {
    format!("{base}/{tenant}/v2.0")
}

/// Whether two addresses `https://host:port` are this service as seen by one caller: the same, or
/// two names of the caller's own machine.
pub(crate) fn same_service(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || matches!((loopback(one), loopback(other)), (Some(a), Some(b)) if a == b)
}

/// The port, when the address is the machine itself.
fn loopback(address: &str) -> Option<&str> {
    let rest = address.strip_prefix("https://")?;
    let names = ["localhost", "127.0.0.1", "[::1]"];
    names.iter().find_map(|name| {
        let (host, port) = rest.split_at_checked(name.len())?;
        let port = if port.is_empty() { "443" } else { port.strip_prefix(':')? };
        host.eq_ignore_ascii_case(name).then_some(port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_machine_are_one_service() {
        assert!(same_service("https://localhost:8443", "https://127.0.0.1:8443"));
        assert!(same_service("https://[::1]", "https://LOCALHOST:443"));
        assert!(!same_service("https://localhost:8443", "https://localhost:8444"));
        assert!(!same_service("https://localhost.evil:8443", "https://localhost:8443"));
        assert!(!same_service("http://localhost:8443", "https://localhost:8443"));
        assert!(!same_service("https://a:1", "https://b:1"));
        assert!(same_service("https://a:1", "https://A:1"));
    }

    #[test]
    fn forms_of_paths() {
        let tenant = Uuid::from_u128(1);
        let adfs = Place { adfs: true, tenant: None };
        assert_eq!(adfs.root("https://h"), "https://h/adfs");
        assert_eq!(adfs.issuer("https://h", tenant), "https://h/adfs");
        assert!(adfs.is(tenant) && !adfs.is_versioned());
        let own = Place { adfs: false, tenant: Some(tenant.to_string()) };
        assert_eq!(own.root("https://h"), format!("https://h/{tenant}"));
        assert!(own.is(tenant) && !own.is(Uuid::from_u128(2)));
        let both = Place { adfs: true, tenant: Some("Common".into()) };
        assert_eq!(both.root("https://h"), "https://h/adfs/Common");
        assert!(both.is(tenant));
    }
}
