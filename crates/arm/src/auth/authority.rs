//! The signing key, and the tokens it signs and checks.
//!
//! The key is made at first start and kept in the data folder, so tokens stay good over a restart.
//! One algorithm is spoken, RS256, and a token that names another is refused before its signature
//! is looked at.

use super::claims::{Claims, LIFETIME};
use super::place::issuer;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};
use tresor_core::error::{Error, Result};
use tresor_core::model::Principal;
use tresor_core::service::Service;
use uuid::Uuid;
use zeroize::Zeroizing;

/// Bytes of a token at most.
const TOKEN_MAX: usize = 8 << 10;
const KEY_FILE: &str = "signing.pem";
const HEAD: &str = "-----BEGIN PRIVATE KEY-----\n";
const TAIL: &str = "-----END PRIVATE KEY-----\n";

/// Makes and checks tokens.
pub(crate) struct Authority {
    tenant: Uuid,
    signing: EncodingKey,
    checking: DecodingKey,
    id: String,
    jwk: Value,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

impl Authority {
    /// Loads the signing key, making it at first start; blocking.
    pub(crate) fn open(service: &Service) -> Result<Self> {
        let fresh = generate()?;
        let pem = service.key_file(KEY_FILE, || fresh)?;
        Self::new(service.tenant(), &pem)
    }

    /// An authority of a tenant with this key.
    pub(crate) fn new(tenant: Uuid, pem: &[u8]) -> Result<Self> {
        let fail = |cause| Error::internal("loading the signing key of tokens", cause);
        let signing = EncodingKey::from_rsa_pem(pem).map_err(fail)?;
        let public = Jwk::from_encoding_key(&signing, Algorithm::RS256).map_err(fail)?;
        let AlgorithmParameters::RSA(rsa) = &public.algorithm else {
            return Err(Error::internal("loading the signing key of tokens", "it is not RSA"));
        };
        let checking = DecodingKey::from_rsa_components(&rsa.n, &rsa.e).map_err(fail)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, rsa.n.as_bytes());
        let id = URL_SAFE_NO_PAD.encode(digest.as_ref().get(..20).unwrap_or_default());
        let jwk = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": rsa.n, "e": rsa.e,
        });
        Ok(Self { tenant, signing, checking, id, jwk })
    }

    /// The tenant.
    pub(crate) fn tenant(&self) -> Uuid {
        self.tenant
    }

    /// The public key set.
    pub(crate) fn keys(&self) -> Value {
        json!({ "keys": [self.jwk] })
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
            exp: now.saturating_add(LIFETIME),
            tid: self.tenant,
            oid: who.object_id,
            sub: who.object_id,
            appid: who.client_id,
            ver: "1.0".into(),
        };
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, &claims, &self.signing)
            .map_err(|cause| Error::internal("signing a token", cause))
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
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.checking, &rules);
        let claims = decoded.map_err(|_| MALFORMED)?.claims;
        claims.check(base, self.tenant, now.as_second())?;
        Ok(claims)
    }
}

/// A new RSA key in PEM. The library draws the randomness of keys itself.
fn generate() -> Result<Zeroizing<Vec<u8>>> {
    let fail = |cause| Error::internal("making the signing key of tokens", cause);
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(fail)?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(fail)?;
    let text = Zeroizing::new(STANDARD.encode(der.as_ref()));
    // The whole size is taken at once, so that no half of it stays behind in freed memory.
    let mut pem = Zeroizing::new(Vec::with_capacity(text.len() * 2));
    pem.extend_from_slice(HEAD.as_bytes());
    for line in text.as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(TAIL.as_bytes());
    Ok(pem)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::LazyLock;
    use tresor_core::model::PrincipalKind;

    const BASE: &str = "https://localhost:8443";
    static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| fresh(Uuid::from_u128(1)));

    /// An authority of a tenant with a key of its own.
    pub(crate) fn fresh(tenant: Uuid) -> Authority {
        Authority::new(tenant, &generate().unwrap()).unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-08T06:00:00Z".parse().unwrap()
    }

    fn token() -> String {
        let who = Principal {
            object_id: Uuid::from_u128(2),
            client_id: Uuid::from_u128(3),
            name: "owner".into(),
            kind: PrincipalKind::Application,
            secret_digest: None,
        };
        AUTHORITY.issue(&who, BASE, BASE, now()).unwrap()
    }

    #[test]
    fn a_token_is_good_until_it_ends() {
        let claims = AUTHORITY.check(&token(), BASE, now()).unwrap();
        assert_eq!((claims.oid, claims.appid), (Uuid::from_u128(2), Uuid::from_u128(3)));
        let late = now() + jiff::SignedDuration::from_secs(LIFETIME + 300);
        assert_eq!(
            AUTHORITY.check(&token(), BASE, late).unwrap_err(),
            "The access token has expired."
        );
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
            let public = AUTHORITY.jwk["n"].as_str().unwrap();
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
