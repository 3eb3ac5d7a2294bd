//! The keys that sign tokens.
//!
//! What must always hold: the newest key signs; an older one checks until every token that it
//! signed has ended, and is then forgotten. Keys are files of the data folder that only its owner
//! can read, so tokens stay good over a restart. A key's file name holds the second of its making.

use super::claims::{LIFETIME_MAX, SKEW};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde_json::{Value, json};
use std::sync::Arc;
use tresor_core::error::{Error, Result};
use tresor_core::service::Service;
use zeroize::Zeroizing;

/// How the names of key files begin.
const PREFIX: &str = "signing";
const HEAD: &str = "-----BEGIN PRIVATE KEY-----\n";
const TAIL: &str = "-----END PRIVATE KEY-----\n";

/// A key that signs or has signed tokens.
pub(super) struct Key {
    /// Its name in tokens and in the public set.
    pub(super) id: String,
    /// Second of its making, real clock.
    pub(super) made: i64,
    pub(super) signing: EncodingKey,
    pub(super) checking: DecodingKey,
    pub(super) jwk: Value,
}

impl Key {
    /// Reads a key in PEM.
    pub(super) fn read(pem: &[u8], made: i64) -> Result<Self> {
        let fail = |cause| Error::internal("loading a signing key of tokens", cause);
        let signing = EncodingKey::from_rsa_pem(pem).map_err(fail)?;
        let public = Jwk::from_encoding_key(&signing, Algorithm::RS256).map_err(fail)?;
        let AlgorithmParameters::RSA(rsa) = &public.algorithm else {
            return Err(Error::internal("loading a signing key of tokens", "it is not RSA"));
        };
        let checking = DecodingKey::from_rsa_components(&rsa.n, &rsa.e).map_err(fail)?;
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, rsa.n.as_bytes());
        let id = URL_SAFE_NO_PAD.encode(digest.as_ref().get(..20).unwrap_or_default());
        let jwk = json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": id, "n": rsa.n, "e": rsa.e,
        });
        Ok(Self { id, made, signing, checking, jwk })
    }
}

/// All keys, oldest first; there is always one.
pub(super) type Ring = Vec<Arc<Key>>;

/// Loads the keys, making one when there is none or the newest has signed for `interval` seconds,
/// and forgets those whose tokens have all ended; blocking.
pub(super) fn open(service: &Service, now: i64, interval: i64) -> Result<Ring> {
    let mut kept: Vec<(i64, String)> = vec![];
    for name in service.key_names(PREFIX)? {
        match made(&name) {
            Some(at) => kept.push((at, name)),
            None => tracing::warn!(name, "a key file's name is not understood; it is not used"),
        }
    }
    kept.sort();
    let mut new = None;
    if kept.last().is_none_or(|(made, _)| is_due(*made, now, interval)) {
        // A clock that was set back must not make two keys of one name.
        let newest = kept.last().map_or(now, |(made, _)| now.max(made.saturating_add(1)));
        let name = format!("{PREFIX}-{newest}.pem");
        kept.push((newest, name.clone()));
        new = Some(name);
    }
    let ended = ended(&kept.iter().map(|(made, _)| *made).collect::<Vec<_>>(), now);
    let mut ring = vec![];
    for (at, (made, name)) in kept.into_iter().enumerate() {
        if at < ended {
            if let Err(error) = service.forget_key(&name) {
                tracing::warn!(%error, name, "an old signing key could not be removed");
            }
            continue;
        }
        let fresh = if new.as_ref() == Some(&name) { generate()? } else { Zeroizing::default() };
        let pem = service.key_file(&name, || fresh)?;
        ring.push(Arc::new(Key::read(&pem, made)?));
    }
    Ok(ring)
}

/// Whether a key of this age gives way to a new one.
pub(super) fn is_due(made: i64, now: i64, interval: i64) -> bool {
    now.saturating_sub(made) >= interval
}

/// How many of the oldest keys have signed no token that is still good. A key signs until its
/// successor is made, and a moment longer while that one is being made.
fn ended(made: &[i64], now: i64) -> usize {
    let successors = made.iter().skip(1);
    let last = LIFETIME_MAX.saturating_add(SKEW.saturating_mul(2));
    successors.take_while(|successor| now > successor.saturating_add(last)).count()
}

/// The second in a key's file name; the first releases wrote none.
fn made(name: &str) -> Option<i64> {
    let rest = name.strip_prefix(PREFIX)?.strip_suffix(".pem")?;
    match rest.strip_prefix('-') {
        Some(second) => second.parse().ok(),
        None => rest.is_empty().then_some(0),
    }
}

/// A new RSA key in PEM. The library draws the randomness of keys itself.
pub(super) fn generate() -> Result<Zeroizing<Vec<u8>>> {
    let fail = |cause| Error::internal("making a signing key of tokens", cause);
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
mod tests {
    use super::*;

    #[test]
    fn names_hold_the_time() {
        assert_eq!(made("signing.pem"), Some(0));
        assert_eq!(made("signing-1700000000.pem"), Some(1_700_000_000));
        for other in ["signing-x.pem", "signing-1.pem.new", "signingx.pem", "page.key"] {
            assert_eq!(made(other), None, "{other}");
        }
    }

    #[test]
    fn a_key_stays_until_its_last_token_has_ended() {
        let last = LIFETIME_MAX + 2 * SKEW;
        assert_eq!(ended(&[0], i64::MAX), 0, "the newest stays");
        assert_eq!(ended(&[0, 1000], 1000 + last), 0);
        assert_eq!(ended(&[0, 1000], 1001 + last), 1);
        assert_eq!(ended(&[0, 1000, 2000], 1001 + last), 1);
        assert_eq!(ended(&[0, 1000, 2000], 2001 + last), 2);
        assert!(is_due(0, 10, 10) && !is_due(0, 9, 10) && !is_due(100, 9, 10));
    }
}
