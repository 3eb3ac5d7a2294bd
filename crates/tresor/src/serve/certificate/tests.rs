use std::os::unix::fs::PermissionsExt;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn start() -> Timestamp {
    at("2026-11-22T10:00:00Z")
}

fn named(names: &[&str]) -> Tls {
    Tls { names: names.iter().map(|name| (*name).to_owned()).collect(), ..Tls::default() }
}

fn chain(folder: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().map(Result::unwrap).collect()
}

/// Verifies as a client would: chain, name, time.
fn verify(folder: &Path, name: &str, now: Timestamp) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let certificates = chain(folder);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let seconds = u64::try_from(now.as_second()).unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
    verifier.verify_server_cert(&certificates[0], &certificates[1..], &name, &[], now).map(|_| ())
}

#[test]
fn a_first_start_makes_a_chain_that_clients_accept() {
    let folder = tempfile::tempdir().unwrap();
    let identity = ready(folder.path(), &named(&["backup.example", "10.1.2.3"]), start()).unwrap();
    assert_eq!(identity.tls.alpn_protocols, [b"h2".to_vec(), b"http/1.1".to_vec()]);
    assert_eq!(identity.ca_file, folder.path().join("ca.pem"));
    for name in ["localhost", "127.0.0.1", "::1", "backup.example", "10.1.2.3"] {
        verify(folder.path(), name, start()).unwrap();
    }
    assert!(verify(folder.path(), "other.example", start()).is_err());
    assert!(verify(folder.path(), "localhost", at("2028-01-01T00:00:00Z")).is_err());
    for (file, mode) in
        [("ca.pem", 0o644), ("server.pem", 0o644), ("ca-key.pem", 0o600), ("server-key.pem", 0o600)]
    {
        let found = fs::metadata(folder.path().join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{file}");
    }
}

#[test]
fn the_extensions_are_those_that_strict_clients_want() {
    let folder = tempfile::tempdir().unwrap();
    ready(folder.path(), &Tls::default(), start()).unwrap();
    let certificates = chain(folder.path());
    let (_, server) = X509Certificate::from_der(&certificates[0]).unwrap();
    let (_, ca) = X509Certificate::from_der(&certificates[1]).unwrap();

    let usage = server.extended_key_usage().unwrap().unwrap();
    assert!(usage.value.server_auth && !usage.value.client_auth && !usage.value.any);
    let basic = server.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && !basic.value.ca);
    let key_usage = server.key_usage().unwrap().unwrap();
    assert!(key_usage.critical && key_usage.value.digital_signature());

    let basic = ca.basic_constraints().unwrap().unwrap();
    assert!(basic.critical && basic.value.ca);
    let key_usage = ca.key_usage().unwrap().unwrap();
    assert!(key_usage.critical && key_usage.value.key_cert_sign());

    assert_eq!(authority_key(&server), subject_key(&ca));
    assert_eq!(authority_key(&ca), subject_key(&ca));
    assert_ne!(subject_key(&server), subject_key(&ca));
    let wanted = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    assert_eq!(subject_names(&server), BTreeSet::from(wanted));
}

fn subject_key(certificate: &X509Certificate<'_>) -> Vec<u8> {
    certificate
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => {
                Some(id.0.to_vec())
            }
            _ => None,
        })
        .expect("a subject key id")
}

fn authority_key(certificate: &X509Certificate<'_>) -> Vec<u8> {
    certificate
        .iter_extensions()
        .find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => None,
        })
        .expect("an authority key id")
}

#[test]
fn a_second_start_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    ready(folder.path(), &Tls::default(), start()).unwrap();
    let before = chain(folder.path());
    ready(folder.path(), &Tls::default(), at("2027-11-01T00:00:00Z")).unwrap();
    assert_eq!(chain(folder.path()), before);
}

#[test]
fn a_certificate_near_its_end_is_renewed_under_the_same_ca() {
    let folder = tempfile::tempdir().unwrap();
    ready(folder.path(), &Tls::default(), start()).unwrap();
    let before = chain(folder.path());
    let later = at("2027-12-01T00:00:00Z");
    ready(folder.path(), &Tls::default(), later).unwrap();
    let after = chain(folder.path());
    assert_ne!(after[0], before[0]);
    assert_eq!(after[1], before[1]);
    verify(folder.path(), "localhost", at("2028-06-01T00:00:00Z")).unwrap();
}

#[test]
fn a_new_name_or_a_lost_key_gives_a_new_certificate() {
    let folder = tempfile::tempdir().unwrap();
    ready(folder.path(), &Tls::default(), start()).unwrap();
    ready(folder.path(), &named(&["nas.example"]), start()).unwrap();
    verify(folder.path(), "nas.example", start()).unwrap();
    fs::remove_file(folder.path().join("server-key.pem")).unwrap();
    ready(folder.path(), &named(&["nas.example"]), start()).unwrap();
    verify(folder.path(), "nas.example", start()).unwrap();
}

#[test]
fn a_lost_ca_key_is_an_error_that_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    ready(folder.path(), &Tls::default(), start()).unwrap();
    fs::remove_file(folder.path().join("ca-key.pem")).unwrap();
    let error = ready(folder.path(), &Tls::default(), start()).err().unwrap();
    assert!(format!("{error:#}").contains("ca-key.pem"), "{error:#}");
}

#[test]
fn the_operators_own_certificate_is_used_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    ready(folder.path(), &named(&["own.example"]), start()).unwrap();
    let own = Tls {
        names: vec![],
        certificate: folder.path().join("server.pem"),
        key: folder.path().join("server-key.pem"),
        ca: folder.path().join("ca.pem"),
    };
    let unused = folder.path().join("unused");
    let identity = ready(&unused, &own, start()).unwrap();
    assert_eq!(identity.ca_file, folder.path().join("ca.pem"));
    assert!(!unused.exists());
    let wrong = Tls { key: folder.path().join("ca-key.pem"), ..own };
    let error = ready(&unused, &wrong, start()).err().unwrap();
    assert!(format!("{error:#}").contains("ca-key.pem"), "{error:#}");
}

#[test]
fn a_name_that_no_certificate_can_carry_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = ready(folder.path(), &named(&["not a name \u{e4}"]), start()).err().unwrap();
    assert!(format!("{error:#}").contains("tls.names"), "{error:#}");
}
