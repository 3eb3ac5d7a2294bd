//! The certificate that the service is met with.
//!
//! Tokens and ARM are never served without TLS, so a first start makes a CA of its own and a
//! server certificate under it. Both pass strict checks (RFC 5280 as Python's VERIFY_X509_STRICT
//! reads it): critical basicConstraints, keyUsage, subject and authority key ids. The CA stays the
//! same for ever, because clients have been told to trust it; the server certificate is made anew
//! when it nears its end or does not carry a wanted name. An operator's own certificate is used as
//! it is.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::config::Tls;
use crate::durable::{self, Access};

const CA_DAYS: i64 = 3650;
/// Browsers and some TLS libraries refuse server certificates that live longer.
const SERVER_DAYS: i64 = 397;
const RENEW_BEFORE_DAYS: i64 = 30;

/// What the listener needs, and what its clients need.
pub(crate) struct Identity {
    /// The listener's TLS settings: HTTP/2 and HTTP/1.1.
    pub(crate) tls: Arc<rustls::ServerConfig>,
    /// The CA that clients must trust.
    pub(crate) ca_file: PathBuf,
}

/// The operator's certificate, or our own, made or renewed as needed.
pub(crate) fn ready(folder: &Path, tls: &Tls, now: Timestamp) -> Result<Identity> {
    if !tls.certificate.as_os_str().is_empty() {
        let ca = if tls.ca.as_os_str().is_empty() { &tls.certificate } else { &tls.ca };
        let ca_file = absolute(ca)?;
        return Ok(Identity { tls: settings(&tls.certificate, &tls.key)?, ca_file });
    }
    durable::folder(folder)?;
    let files = Files::within(folder);
    let issuer = authority(&files, now)?;
    let names = names(tls);
    if !fits(&files, &names, now) {
        let (certificate, key) = issue(&issuer, &names, now)?;
        let chain = certificate + &fs::read_to_string(&files.ca)?;
        // The key first: a certificate whose key is missing would not be noticed by `fits`.
        durable::write(&files.server_key, key.as_bytes(), Access::Private)?;
        durable::write(&files.server, chain.as_bytes(), Access::Public)?;
        tracing::info!(file = %files.server.display(), "server certificate made");
    }
    let ca_file = absolute(&files.ca)?;
    Ok(Identity { tls: settings(&files.server, &files.server_key)?, ca_file })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot find {}", path.display()))
}

struct Files {
    ca: PathBuf,
    ca_key: PathBuf,
    server: PathBuf,
    server_key: PathBuf,
}

impl Files {
    fn within(folder: &Path) -> Files {
        Files {
            ca: folder.join("ca.pem"),
            ca_key: folder.join("ca-key.pem"),
            server: folder.join("server.pem"),
            server_key: folder.join("server-key.pem"),
        }
    }
}

/// The CA: the one on disk, or a new one when neither of its files is there.
fn authority(files: &Files, now: Timestamp) -> Result<Issuer<'static, KeyPair>> {
    match (files.ca.exists(), files.ca_key.exists()) {
        (true, true) => {
            let key = KeyPair::from_pem(&fs::read_to_string(&files.ca_key)?)
                .with_context(|| format!("{} is no private key", files.ca_key.display()))?;
            Issuer::from_ca_cert_pem(&fs::read_to_string(&files.ca)?, key)
                .with_context(|| format!("{} is no CA certificate", files.ca.display()))
        }
        // The key is written first: without its certificate nobody has been told to trust it.
        (false, _) => {
            let key = KeyPair::generate()?;
            let params = authority_params(&key, now)?;
            let certificate = params.self_signed(&key)?;
            durable::write(&files.ca_key, key.serialize_pem().as_bytes(), Access::Private)?;
            durable::write(&files.ca, certificate.pem().as_bytes(), Access::Public)?;
            tracing::info!(file = %files.ca.display(), "certificate authority made");
            Ok(Issuer::new(params, key))
        }
        (true, false) => bail!(
            "{} is there but its key {} is not: put the key back, or move the certificate away \
             to have a new authority (clients must then trust the new one)",
            files.ca.display(),
            files.ca_key.display()
        ),
    }
}

fn authority_params(key: &KeyPair, now: Timestamp) -> Result<CertificateParams> {
    let mut params = CertificateParams::default();
    validity(&mut params, now, CA_DAYS)?;
    // Two installations must not have authorities of one name: some clients look up by name only.
    let id = blake3::hash(key.public_key_raw()).to_hex();
    let id = id.get(..8).unwrap_or_default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, format!("Tresor local CA {id}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A server certificate and its key, in PEM.
fn issue(
    issuer: &Issuer<'_, KeyPair>,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<(String, String)> {
    let key = KeyPair::generate()?;
    let list: Vec<String> = names.iter().cloned().collect();
    let mut params = CertificateParams::new(list)
        .context("tls.names holds something that is neither a DNS name nor an address")?;
    validity(&mut params, now, SERVER_DAYS)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Tresor");
    // Explicit: only then are basicConstraints (critical) and the subject key id written.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// Valid from the day before (clocks differ) for `days`.
fn validity(params: &mut CertificateParams, now: Timestamp, days: i64) -> Result<()> {
    let midnight = |time: Timestamp| -> Result<_> {
        let date = time.to_zoned(TimeZone::UTC).date();
        let (month, day) = (u8::try_from(date.month())?, u8::try_from(date.day())?);
        Ok(rcgen::date_time_ymd(i32::from(date.year()), month, day))
    };
    params.not_before = midnight(now.checked_sub(SignedDuration::from_hours(24))?)?;
    params.not_after = midnight(now.checked_add(SignedDuration::from_hours(24 * days))?)?;
    Ok(())
}

/// The names that the server certificate must carry.
fn names(tls: &Tls) -> BTreeSet<String> {
    let local =
        ["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    local.into_iter().chain(tls.names.iter().cloned()).collect()
}

/// Whether the certificate on disk is ours, carries all names and lives long enough.
fn fits(files: &Files, names: &BTreeSet<String>, now: Timestamp) -> bool {
    let check = || -> Option<bool> {
        PrivateKeyDer::from_pem_file(&files.server_key).ok()?;
        let mut chain = CertificateDer::pem_file_iter(&files.server).ok()?;
        let der = chain.next()?.ok()?;
        let ca = CertificateDer::from_pem_file(&files.ca).ok()?;
        if chain.next()?.ok()? != ca {
            return Some(false);
        }
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        let end = Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()?;
        let margin = SignedDuration::from_hours(24 * RENEW_BEFORE_DAYS);
        Some(now.checked_add(margin).ok()? < end && names.is_subset(&subject_names(&certificate)))
    };
    check().unwrap_or(false)
}

fn subject_names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let text = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(text).collect()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        _ => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
    }
}

/// The listener's settings with this chain and key.
fn settings(chain: &Path, key: &Path) -> Result<Arc<rustls::ServerConfig>> {
    let unreadable = |path: &Path| format!("cannot read {} (PEM)", path.display());
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unreadable(chain))?;
    let private = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, private)
        .with_context(|| {
            format!("{} and {} cannot be used together", chain.display(), key.display())
        })?;
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(settings))
}

#[cfg(test)]
mod tests;
