//! What each setting means, and the settings written out as TOML with those words.

use std::fmt::Write;

use anyhow::Result;

use super::Config;

/// Every setting in the order in which it is printed, with its meaning.
#[rustfmt::skip]
pub(super) const DOCS: &[(&str, &str)] = &[
    ("data", "Folder of everything the service keeps."),
    ("listen", "Address and port to listen on; port 0 takes a free one."),
    ("base_url", "Public https address, no slash at the end; empty: from each request's Host."),
    ("locations", "The locations (sites) that the service has."),
    ("workers", "Jobs that run at the same time."),
    ("ready_file", "File that says how to get in, while the service listens; empty: none."),
    ("storage.volumes", "Folder of the disks' volumes; empty: volumes in the data folder."),
    ("storage.store", "Folder of the operational store; empty: store in the data folder."),
    ("import.folders", "Folders whose image files a disk may be imported from."),
    ("limits.mode", "\"azure\" applies Azure's backup quotas, \"none\" none."),
    ("fidelity.retry_after", "\"tresor\": poll every second; \"azure\": Azure's 10, 15 and 30 s."),
    ("wire.poll_hold_ms", "Longest time that a poll of a running operation is held open."),
    ("wire.max_polls", "Polls held open at once, half of them for one client; more are answered."),
    ("wire.max_connections", "Connections at once; further ones are closed."),
    ("wire.max_connections_per_address", "Connections at once from one address."),
    ("wire.max_requests", "Requests with a token worked on at once; others are told to come back."),
    ("wire.max_body_bytes", "Largest request body; a page write has up to 4 MiB."),
    ("wire.max_target_bytes", "Longest path and query of a request."),
    ("wire.request_seconds", "Longest time that one request may take."),
    ("rate.reads", "Reads that one client may make at once; 0: no limit, here and below."),
    ("rate.reads_per_minute", "Reads that one client gets back in a minute."),
    ("rate.writes", "Writes (deletes are counted below) that one client may make at once."),
    ("rate.writes_per_minute", "Writes that one client gets back in a minute."),
    ("rate.deletes", "Deletes that one client may make at once."),
    ("rate.deletes_per_minute", "Deletes that one client gets back in a minute."),
    ("rate.anonymous", "Requests without a valid token that one address may make at once."),
    ("rate.anonymous_per_minute", "Such requests that one address gets back in a minute."),
    ("rate.wrong_secrets", "Wrong secrets for one client id that one address may try at once."),
    ("rate.wrong_secrets_per_minute", "Such tries that one address gets back in a minute."),
    ("audit.file_bytes", "Size of audit.log after which a new file begins."),
    ("audit.files", "Older files of the audit trail that are kept."),
    ("audit.days", "Days that the audit trail stays in the catalogue."),
    ("tokens.lifetime_seconds", "How long a token is good, from 600 to 86400 seconds."),
    ("tokens.key_days", "Days that a key signs tokens before the next one does, 1 to 365."),
    ("identity.listen", "Loopback address and port of the managed identity endpoint; empty: off."),
    ("identity.identities", "Managed identities that it speaks for: resource or client ids."),
    ("identity.imds", "Also as instance metadata, which asks no secret of local programs."),
    ("tls.names", "More DNS names or addresses for the certificate that the service makes."),
    ("tls.certificate", "Your own certificate chain (PEM); empty: the service makes one."),
    ("tls.key", "The private key (PEM) of tls.certificate."),
    ("tls.ca", "CA file that clients of tls.certificate need; `tresor env` names it."),
    ("log.format", "\"text\" or \"json\"; logs go to standard error."),
    ("log.filter", "Which logs, e.g. \"info\" or \"warn,tresor_core=debug\"; RUST_LOG wins."),
    ("shutdown.seconds", "Longest time that running requests and jobs get at a stop."),
    ("test.ephemeral", "A service for tests: data in a temporary folder, /_tresor/ hooks."),
    ("test.clock", "\"system\", \"manual\" or the time at which a manual clock begins."),
    ("store.window", "Bytes within which chunks are cut. store.* counts at the first start only."),
    ("store.chunk_min", "Smallest chunk in bytes."),
    ("store.chunk_mean", "Mean size of a chunk in bytes."),
    ("store.chunk_max", "Largest chunk in bytes."),
    ("store.zero_run_blocks", "Zero blocks of 4 KiB in a row that end a chunk."),
    ("store.pack_bytes", "Size of a pack, the object that chunks are kept in."),
    ("store.level", "zstd compression level."),
    ("store.check_codec", "Decompress each chunk before storing it (defence against bad memory)."),
    ("store.checkpoint_bytes", "Stored bytes after which a killed backup need not begin again."),
    ("store.argon2_kib", "Memory in KiB that trying one passphrase takes (Argon2id)."),
    ("store.argon2_passes", "Passes that trying one passphrase takes (Argon2id)."),
];

/// The settings as a TOML file that sets every one of them to its effective value.
pub(crate) fn render(settings: &Config) -> Result<String> {
    let values = toml::Table::try_from(settings)?;
    let mut text = String::new();
    let mut section = "";
    for (name, meaning) in DOCS {
        let (within, key) = name.rsplit_once('.').unwrap_or(("", name));
        let table = if within.is_empty() {
            Some(&values)
        } else {
            values.get(within).and_then(toml::Value::as_table)
        };
        let Some(value) = table.and_then(|table| table.get(key)) else {
            continue;
        };
        if within != section {
            section = within;
            writeln!(text, "\n[{section}]")?;
        }
        writeln!(text, "# {meaning}\n{key} = {value}")?;
    }
    Ok(text)
}
