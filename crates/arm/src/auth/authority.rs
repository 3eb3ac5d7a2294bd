//! The authority: makes tokens and checks them.
//!
//! One algorithm is spoken, RS256, and a token that names another is refused before its signature
//! is looked at. Which key a token needs, its header says; it must be one of the ring.

use super::claims::{Claims, LIFETIME_MAX};
use super::key::{self, Key, Ring};
use super::place::issuer;
use crate::wire::settings::WireSettings;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::Mutex;
use tresor_core::error::{Error, Result};
use tresor_core::model::Principal;
use tresor_core::service::Service;
use uuid::Uuid;

/// Bytes of a token at most.
const TOKEN_MAX: usize = 8 << 10;
/// Shortest lifetime of a token in seconds.
const LIFETIME_MIN: i64 = 600;

/// Makes and checks tokens.
pub(crate) struct Authority {
    tenant: Uuid,
    /// Seconds that a token is good.
    lifetime: i64,
    /// Seconds that a key signs.
    interval: i64,
    ring: RwLock<Ring>,
    /// Held by the one request that makes the next key.
    turn: Mutex<()>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Authority {
    /// Loads the signing keys, making one at first start and when the newest is old; blocking.
    pub(crate) fn open(service: &Service, wire: &WireSettings) -> Result<Self> {
        let interval = seconds(wire.signing_key_lifetime);
        let ring = key::open(service, service.env().real().as_second(), interval)?;
        Ok(Self::new(service.tenant(), ring, wire))
    }

    fn new(tenant: Uuid, ring: Ring, wire: &WireSettings) -> Self {
        Self {
            tenant,
            lifetime: seconds(wire.token_lifetime).clamp(LIFETIME_MIN, LIFETIME_MAX),
            interval: seconds(wire.signing_key_lifetime),
            ring: RwLock::new(ring),
            turn: Mutex::new(()),
        }
    }

    /// Changes the signing key when its time is over. Whoever comes while that is being done goes
    /// on with the old key, and so does everybody when it fails.
    pub(crate) async fn refresh(&self, service: &Arc<Service>) {
        let now = service.env().real().as_second();
        let due = |newest: Arc<Key>| key::is_due(newest.made, now, self.interval);
        if !self.newest().is_none_or(due) {
            return;
        }
        let Ok(_turn) = self.turn.try_lock() else {
            return;
        };
        let (own, interval) = (Arc::clone(service), self.interval);
        let opened = tokio::task::spawn_blocking(move || key::open(&own, now, interval)).await;
        match opened {
            Ok(Ok(ring)) => {
                *self.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
                tracing::info!("tokens are signed with a new key");
            }
            Ok(Err(error)) => tracing::error!(%error, "the signing key could not be changed"),
            Err(error) => tracing::error!(%error, "the signing key could not be changed"),
        }
    }

    fn ring(&self) -> Ring {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn newest(&self) -> Option<Arc<Key>> {
        self.ring().pop()
    }

    /// Seconds that a token is good.
    pub(crate) fn lifetime(&self) -> i64 {
        self.lifetime
    }

    /// The tenant.
    pub(crate) fn tenant(&self) -> Uuid {
        self.tenant
    }

    /// The public key set.
    pub(crate) fn keys(&self) -> Value {
        let keys: Vec<Value> = self.ring().iter().rev().map(|key| key.jwk.clone()).collect();
        json!({ "keys": keys })
    }

    /// A token for a principal.
    pub(crate) fn issue(
        &self,
        who: &Principal,
        audience: &str,
        base: &str,
        now: Timestamp,
    ) -> Result<String> {
        let now = now.as_second();
        let claims = Claims {
            aud: audience.to_owned(),
            iss: issuer(base, self.tenant),
            iat: now,
            nbf: now,
            exp: now.saturating_add(self.lifetime),
            tid: self.tenant,
            oid: who.object_id,
            sub: who.object_id,
            appid: who.client_id,
            ver: "1.0".into(),
        };
        let fail = |cause| Error::internal("signing a token", cause);
        let key = self.newest().ok_or_else(|| Error::internal("signing a token", "no key"))?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(key.id.clone());
        jsonwebtoken::encode(&header, &claims, &key.signing).map_err(fail)
    }

    /// The claims of a token that is good at `base` and `now`; the refusal says why not.
    pub(crate) fn check(
        &self,
        token: &str,
        base: &str,
        now: Timestamp,
    ) -> std::result::Result<Claims, &'static str> {
        const MALFORMED: &str = "The access token is invalid.";
        if token.len() > TOKEN_MAX {
            return Err(MALFORMED);
        }
        let mut rules = Validation::new(Algorithm::RS256);
        // Times and audience are checked below, by the environment's clock and the request's host.
        rules.validate_exp = false;
        rules.validate_aud = false;
        rules.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        let head = jsonwebtoken::decode_header(token).map_err(|_| MALFORMED)?;
        let ring = self.ring();
        let key = ring.iter().find(|key| Some(&key.id) == head.kid.as_ref()).ok_or(MALFORMED)?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &key.checking, &rules);
        let claims = decoded.map_err(|_| MALFORMED)?.claims;
        claims.check(base, self.tenant, now.as_second())?;
        Ok(claims)
    }
}

/// Whole seconds.
fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::DecodingKey;
    use jsonwebtoken::jwk::Jwk;
    use std::sync::LazyLock;
    use tresor_core::model::PrincipalKind;

    const BASE: &str = "https://localhost:8443";
    static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| fresh(Uuid::from_u128(1)));

    /// An authority of a tenant with a key of its own.
    pub(crate) fn fresh(tenant: Uuid) -> Authority {
        Authority::new(tenant, vec![new_key(0)], &WireSettings::default())
    }

    /// An authority of another tenant that has the very same keys.
    pub(crate) fn elsewhere(authority: &Authority, tenant: Uuid) -> Authority {
        Authority::new(tenant, authority.ring(), &WireSettings::default())
    }

    fn new_key(made: i64) -> Arc<Key> {
        Arc::new(Key::read(&key::generate().unwrap(), made).unwrap())
    }

    fn of(ring: Ring) -> Authority {
        Authority::new(Uuid::from_u128(1), ring, &WireSettings::default())
    }

    fn now() -> Timestamp {
        "2026-01-08T06:00:00Z".parse().unwrap()
    }

    fn token() -> String {
        token_by(&AUTHORITY)
    }

    fn token_by(authority: &Authority) -> String {
        let who = Principal {
            object_id: Uuid::from_u128(2),
            client_id: Uuid::from_u128(3),
            name: "owner".into(),
            kind: PrincipalKind::Application,
            secrets: vec![],
            created: None,
            resource: None,
        };
        authority.issue(&who, BASE, BASE, now()).unwrap()
    }

    #[test]
    fn a_token_is_good_until_it_ends() {
        let claims = AUTHORITY.check(&token(), BASE, now()).unwrap();
        assert_eq!((claims.oid, claims.appid), (Uuid::from_u128(2), Uuid::from_u128(3)));
        let at = |seconds| now() + jiff::SignedDuration::from_secs(seconds);
        let check = |seconds| AUTHORITY.check(&token(), BASE, at(seconds));
        // Clocks may differ by five minutes, on both sides.
        assert!(check(AUTHORITY.lifetime() + 299).is_ok() && check(-300).is_ok());
        let ended = check(AUTHORITY.lifetime() + 300).unwrap_err();
        assert_eq!(ended, "The access token has expired.");
        assert_eq!(check(-301).unwrap_err(), "The access token is not valid yet.");
    }

    #[test]
    fn lifetimes_have_bounds() {
        for (wanted, got) in [(1, 600), (600, 600), (7200, 7200), (1 << 40, 86_400)] {
            let token_lifetime = Duration::from_secs(wanted);
            let wire = WireSettings { token_lifetime, ..WireSettings::default() };
            let authority = Authority::new(Uuid::nil(), vec![], &wire);
            assert_eq!(authority.lifetime(), got);
        }
    }

    #[test]
    fn old_keys_check_what_they_signed() {
        let (first, second) = (new_key(1), new_key(2));
        let before = of(vec![first.clone()]);
        let token = token_by(&before);
        let after = of(vec![first, second.clone()]);
        assert!(after.check(&token, BASE, now()).is_ok());
        assert_eq!(after.keys()["keys"].as_array().unwrap().len(), 2);
        let newer = token_by(&after);
        let kid = jsonwebtoken::decode_header(&newer).unwrap().kid;
        assert_eq!(kid.as_ref(), Some(&second.id), "the newest signs");
        assert!(before.check(&newer, BASE, now()).is_err());
        let forgotten = of(vec![second]);
        assert!(forgotten.check(&token, BASE, now()).is_err());
        assert!(forgotten.check(&newer, BASE, now()).is_ok());
    }

    #[test]
    fn any_changed_character_is_refused() {
        let token = token();
        for at in 0..token.len() {
            let mut bytes = token.clone().into_bytes();
            // The last character of a part may hold unused bits; changing its high bit never does.
            bytes[at] = if bytes[at].is_ascii_lowercase() { b'0' } else { b'z' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(AUTHORITY.check(&changed, BASE, now()).is_err(), "{at}");
        }
    }

    #[test]
    fn other_keys_and_algorithms_are_refused() {
        assert!(fresh(Uuid::from_u128(1)).check(&token(), BASE, now()).is_err());
        let token = token();
        let (_, rest) = token.split_once('.').unwrap();
        let (claims, _) = rest.split_once('.').unwrap();
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","typ":"JWT"}"#] {
            let header = URL_SAFE_NO_PAD.encode(header);
            let public = AUTHORITY.keys()["keys"][0]["n"].clone();
            let public = public.as_str().unwrap();
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
            let body = format!("{header}.{claims}");
            let tag = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, body.as_bytes()));
            for signature in ["", &tag] {
                assert!(AUTHORITY.check(&format!("{body}.{signature}"), BASE, now()).is_err());
            }
        }
        for bad in ["", "..", "a.b.c", &"x".repeat(TOKEN_MAX + 1)] {
            assert!(AUTHORITY.check(bad, BASE, now()).is_err());
        }
    }

    #[test]
    fn the_published_key_checks_tokens() {
        let keys = AUTHORITY.keys();
        let jwk: Jwk = serde_json::from_value(keys["keys"][0].clone()).unwrap();
        let mut rules = Validation::new(Algorithm::RS256);
        rules.validate_exp = false;
        rules.set_audience(&[BASE]);
        let key = DecodingKey::from_jwk(&jwk).unwrap();
        let kid = jsonwebtoken::decode_header(token()).unwrap().kid;
        assert_eq!(kid.as_deref(), keys["keys"][0]["kid"].as_str());
        assert!(jsonwebtoken::decode::<Claims>(token(), &key, &rules).is_ok());
        assert!(!keys.to_string().contains("\"d\""));
    }
}
