//! What a token says.

use super::place::{issuer, same_service};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Longest lifetime of a token in seconds, whatever is configured now or was before.
pub(crate) const LIFETIME_MAX: i64 = 86_400;
/// Seconds by which clocks may differ, on both sides of a token's life; Azure's five minutes.
pub(crate) const SKEW: i64 = 300;
/// Audiences that stand for this service in the defaults of clients.
const AZURE: [&str; 2] = ["https://management.azure.com", "https://management.core.windows.net"];

/// The claims of our tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) aud: String,
    pub(crate) iss: String,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    pub(crate) tid: Uuid,
    pub(crate) oid: Uuid,
    pub(crate) sub: Uuid,
    pub(crate) appid: Uuid,
    pub(crate) ver: String,
}

impl Claims {
    /// Whether the token is good here and now; the refusal says why not.
    pub(crate) fn check(&self, base: &str, tenant: Uuid, now: i64) -> Result<(), &'static str> {
        if self.tid != tenant {
            return Err("The access token is from the wrong tenant.");
        }
        let tail = issuer("", tenant);
        if !self.iss.strip_suffix(&tail).is_some_and(|origin| same_service(origin, base)) {
            return Err("The access token is from the wrong issuer.");
        }
        if !is_audience(&self.aud, base) {
            return Err("The access token has been obtained for the wrong audience.");
        }
        if now < self.nbf.saturating_sub(SKEW) {
            return Err("The access token is not valid yet.");
        }
        if now >= self.exp.saturating_add(SKEW) {
            return Err("The access token has expired.");
        }
        if self.exp.saturating_sub(self.iat) > LIFETIME_MAX || self.sub != self.oid {
            return Err("The access token is not one that this authority issues.");
        }
        Ok(())
    }
}

/// The audience that a scope or resource asks for, without the permission and slashes at its end.
pub(crate) fn audience(scope: &str) -> &str {
    let scope = scope.strip_suffix("/.default").unwrap_or(scope);
    scope.trim_end_matches('/')
}

/// Whether an audience stands for this service.
pub(crate) fn is_audience(audience: &str, base: &str) -> bool {
    same_service(audience, base) || AZURE.iter().any(|own| own.eq_ignore_ascii_case(audience))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = "https://localhost:8443";

    fn claims() -> Claims {
        let tenant = Uuid::from_u128(1);
        Claims {
            aud: BASE.into(),
            iss: issuer(BASE, tenant),
            iat: 1000,
            nbf: 1000,
            exp: 4600,
            tid: tenant,
            oid: Uuid::from_u128(2),
            sub: Uuid::from_u128(2),
            appid: Uuid::from_u128(3),
            ver: "1.0".into(),
        }
    }

    fn refused(change: impl FnOnce(&mut Claims), now: i64) -> bool {
        let mut claims = claims();
        change(&mut claims);
        claims.check(BASE, Uuid::from_u128(1), now).is_err()
    }

    #[test]
    fn each_claim_is_checked() {
        assert!(!refused(|_| {}, 1000));
        assert!(!refused(|c| c.aud = AZURE[0].into(), 4600 + SKEW - 1));
        assert!(refused(|_| {}, 4600 + SKEW));
        assert!(!refused(|_| {}, 1000 - SKEW));
        assert!(refused(|_| {}, 1000 - SKEW - 1));
        assert!(refused(|c| c.aud = "https://other".into(), 1000));
        assert!(refused(|c| c.iss = issuer("https://other:8443", c.tid), 1000));
        assert!(refused(|c| c.iss = c.iss.replace("v2.0", "v1.0"), 1000));
        assert!(refused(|c| c.tid = Uuid::from_u128(9), 1000));
        assert!(!refused(|c| c.exp = 1000 + LIFETIME_MAX, 1000));
        assert!(refused(|c| c.exp = 1001 + LIFETIME_MAX, 1000));
        assert!(refused(|c| c.exp = i64::MAX, 1000));
        assert!(refused(|c| c.sub = Uuid::nil(), 1000));
    }

    #[test]
    fn scopes_of_known_clients() {
        for scope in [
            "https://localhost:8443/.default",
            "https://localhost:8443//.default",
            "https://localhost:8443/",
            "https://127.0.0.1:8443/.default",
            "https://management.azure.com/.default",
            "https://management.core.windows.net//.default",
        ] {
            assert!(is_audience(audience(scope), BASE), "{scope}");
        }
        for scope in ["", "https://vault.azure.net/.default", "https://localhost:1/.default"] {
            assert!(!is_audience(audience(scope), BASE), "{scope}");
        }
    }
}
