//! Signed URLs: made for a grant, checked on every request.
//!
//! The signature covers the disk's unique id, the grant, what it allows and when it ends, so a URL
//! is worth nothing for another disk, a later disk of the same name, or a longer time. The grant
//! itself is looked up each time that bytes move, also in the middle of a request: closing it ends
//! every URL that was made of it.

use super::TRANSFERS;
use super::fault::BlobFault;
use crate::App;
use crate::wire::path;
use crate::wire::request::Query;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tresor_core::blob::Blob;
use tresor_core::model::{Access, Grant};
use uuid::Uuid;

/// Changing what a signature covers changes this, so that old URLs end.
const CONTEXT: &str = "tresor sas 1";
/// What every URL says of its form: the version of the signature, and that it is for one blob.
const FORM: [(&str, &str); 2] = [("sv", "2018-03-28"), ("sr", "b")];
/// The name of every blob.
const BLOB: &str = "disk";
/// Longest URL of an older snapshot.
const URL_MAX: usize = 2048;

/// What the data plane needs: the key of its URLs and the places for transfers.
pub(crate) struct Plane {
    pub(super) key: hmac::Key,
    pub(super) transfers: Arc<Semaphore>,
}

impl Plane {
    /// A data plane whose URLs are signed with this key.
    pub(crate) fn new(key: &[u8]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Self { key, transfers: Arc::new(Semaphore::new(TRANSFERS)) }
    }

    /// The signed URL of a grant.
    pub(crate) fn url(&self, base: &str, grant: &Grant) -> String {
        let signature = URL_SAFE_NO_PAD.encode(hmac::sign(&self.key, &covered(grant)));
        let form = FORM.map(|(name, value)| format!("{name}={value}")).join("&");
        format!(
            "{base}/{}/{}/{BLOB}?{form}&si={}&sig={signature}",
            account(grant.unique_id),
            grant.unique_id.simple(),
            grant.id
        )
    }

    /// Whether a signature is the grant's, in constant time.
    pub(super) fn holds(&self, grant: &Grant, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature.trim_end_matches('=')) else {
            return false;
        };
        hmac::verify(&self.key, &covered(grant), &signature).is_ok()
    }
}

impl std::fmt::Debug for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Plane")
    }
}

fn account(unique_id: Uuid) -> String {
    let text = unique_id.simple().to_string();
    format!("md-{}", text.get(..8).unwrap_or_default())
}

fn covered(grant: &Grant) -> Vec<u8> {
    let access = match grant.access {
        Access::Read => "read",
        Access::Write => "write",
    };
    let expires = grant.expires.as_nanosecond();
    let parts = [CONTEXT, &grant.unique_id.to_string(), &grant.id.to_string(), access];
    format!("{}\n{expires}", parts.join("\n")).into_bytes()
}

/// What a path and a query claim, before anything is checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claim {
    unique_id: Uuid,
    grant: Uuid,
    signature: String,
}

/// Reads the claim of a path and a query; None when they are not of a URL of ours.
pub(super) fn claim(path: &str, query: &Query) -> Option<Claim> {
    let segments = path::segments(path).ok()?;
    let [first, container, blob] = segments.as_slice() else {
        return None;
    };
    let unique_id = Uuid::try_parse(container).ok()?;
    // Only the one way in which we write it: a URL that was changed at all is none of ours.
    let written = *container == unique_id.simple().to_string();
    if !written || *first != account(unique_id) || blob != BLOB {
        return None;
    }
    if FORM.iter().any(|(name, value)| query.get(name) != Some(value)) {
        return None;
    }
    let stated = query.get("si")?;
    let grant = Uuid::try_parse(stated).ok().filter(|grant| grant.to_string() == stated)?;
    Some(Claim { unique_id, grant, signature: query.get("sig")?.to_owned() })
}

/// The claim of an absolute URL; its host does not matter, as it is never fetched.
pub(super) fn claim_of_url(url: &str) -> Option<Claim> {
    let url: http::Uri = Some(url.trim()).filter(|url| url.len() <= URL_MAX)?.parse().ok()?;
    url.authority()?;
    claim(url.path(), &Query::parse(url.query().unwrap_or_default()))
}

/// Opens the bytes that a request's URL names.
pub(super) async fn open(app: &App, path: &str, query: &Query) -> Result<Blob, BlobFault> {
    let claim = claim(path, query).ok_or_else(BlobFault::unauthenticated)?;
    open_claim(app, &claim).await
}

/// Opens the bytes of a claim after checking it: nothing is opened for a signature that is wrong.
pub(super) async fn open_claim(app: &App, claim: &Claim) -> Result<Blob, BlobFault> {
    let found = app.service.grant(claim.grant).await?;
    let good = found.filter(|grant| {
        grant.unique_id == claim.unique_id && app.blob.holds(grant, &claim.signature)
    });
    let grant = good.ok_or_else(BlobFault::unauthenticated)?;
    app.service.blob(grant.id).await?.ok_or_else(BlobFault::unauthenticated)
}
