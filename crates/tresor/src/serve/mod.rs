//! The service: opened, met over HTTPS, stopped in order.
//!
//! Order of a start: the data folder is taken (one owner), the owner's credentials are on disk,
//! the certificate is ready, the listener is bound, the address is published. Order of a stop: the
//! address is withdrawn, running requests end within a bounded time, jobs come to rest. What a
//! kill interrupts anywhere in between, the next start goes on with.

pub(crate) mod certificate;
mod connection;
pub(crate) mod credentials;
mod ephemeral;
mod health;
mod identity;
mod lives;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use axum_server::Handle;
use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tresor_arm::{IdentityEndpoint, Rate, Rates, RetryAfter, WireSettings};
use tresor_core::audit::AuditSettings;
use tresor_core::hook::Hooks;
use tresor_core::service::{FirstStart, Service, Settings};
use tresor_store::env::Env;

use crate::config::{self, Config, RetryMode};
use crate::terminal::say;
use certificate::Identity;
use credentials::{Endpoint, Owner};
use lives::Lives;

/// An opened service, and what is known only when its start was the first.
type Opened = (Arc<Service>, Option<FirstStart>);

/// A service that listens.
pub(crate) struct Running {
    service: Arc<Service>,
    /// Set when the service can be made a clean one: then the present life is the service.
    lives: Option<Arc<Lives>>,
    handle: Handle<SocketAddr>,
    server: JoinHandle<std::io::Result<()>>,
    identity: Option<identity::Listener>,
    data: PathBuf,
    patience: Duration,
    /// Where clients reach it.
    pub(crate) base_url: String,
    /// What they must trust.
    pub(crate) ca_file: PathBuf,
    /// The files that this start made because it was the first.
    pub(crate) first: Option<FirstFiles>,
}

/// Files of a first start.
pub(crate) struct FirstFiles {
    pub(crate) owner: PathBuf,
    pub(crate) recovery_key: PathBuf,
}

/// `tresor serve`: runs until SIGTERM or SIGINT.
pub(crate) fn run(config: &Config) -> Result<()> {
    // Left behind by a killed service.
    withdraw_ready(config);
    if config.test.ephemeral {
        let folder = ephemeral::Folder::new()?;
        let served = serve(&Config { data: folder.path().to_owned(), ..config.clone() });
        folder.remove();
        return served;
    }
    serve(config)
}

fn serve(config: &Config) -> Result<()> {
    let runtime = runtime()?;
    let served = runtime.block_on(async {
        // Listened to before anything is begun, so that no early signal is lost.
        let mut stop = Stop::new()?;
        let mut running = start(config, &Env::system()).await?;
        match &running.first {
            Some(_) if config.test.ephemeral => introduce(&config.data)?,
            Some(first) => announce(first, &config.data)?,
            None => {}
        }
        if !config.ready_file.as_os_str().is_empty() {
            credentials::publish_ready(&config.ready_file, &config.data)?;
        }
        say(format_args!("listening on {}", running.base_url))?;
        if config.test.ephemeral {
            tokio::task::spawn_blocking(ephemeral::sweep);
        }
        let ended = tokio::select! {
            () = stop.requested() => Ok(()),
            ended = &mut running.server => Err(ended),
        };
        withdraw_ready(config);
        match ended {
            Ok(()) => {
                tracing::info!("stopping");
                tokio::select! {
                    stopped = running.stop() => stopped,
                    () = stop.requested() => Err(anyhow!("stopped at once by a second signal")),
                }
            }
            Err(ended) => {
                running.abandon().await;
                ended??;
                Err(anyhow!("the listener ended by itself"))
            }
        }
    });
    runtime.shutdown_timeout(Duration::from_secs(config.shutdown.seconds));
    served
}

/// Whoever waits for the file must not find that of a service that has stopped.
fn withdraw_ready(config: &Config) {
    if config.ready_file.as_os_str().is_empty() {
        return;
    }
    if let Err(error) = crate::durable::remove(&config.ready_file) {
        tracing::warn!("{error:#}");
    }
}

/// The runtime that everything asynchronous runs on.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.context("the runtime could not be started")
}

/// Opens the service and listens.
pub(crate) async fn start(config: &Config, env: &Env) -> Result<Running> {
    crate::durable::folder(&config.data)?;
    let ((service, first), clock) = match config.test.ephemeral {
        true => Lives::begin(config, env).await?,
        false => (open(config, env, None).await?, None),
    };
    match listen(config, env, &service, first, clock).await {
        Ok(running) => {
            service.start().await;
            Ok(running)
        }
        Err(error) => {
            service.stop().await;
            Err(error)
        }
    }
}

/// Opens the service of a data folder.
async fn open(config: &Config, env: &Env, hooks: Option<Arc<Hooks>>) -> Result<Opened> {
    let opened = Service::open(&config.data, settings(config, hooks), env.clone()).await;
    opened.map_err(told).with_context(|| {
        format!(
            "the data folder {} could not be opened{}",
            config.data.display(),
            owner_hint(&config.data)
        )
    })
}

/// An error of the domain in words: what happened, why, and what to do next.
fn told(error: tresor_core::error::Error) -> anyhow::Error {
    let causes: Vec<String> = anyhow::Chain::new(&error).map(ToString::to_string).collect();
    let mut text = causes.join(": ");
    for advice in &error.fault.guidance {
        text.push(' ');
        text.push_str(advice);
    }
    anyhow!(text)
}

/// Who has the folder, if anybody: `endpoint.json` is there while a service listens.
fn owner_hint(data: &Path) -> String {
    match Endpoint::read(data) {
        Ok(endpoint) => {
            format!(" (process {} listens on {} with it)", endpoint.pid, endpoint.base_url)
        }
        Err(_) => String::new(),
    }
}

async fn listen(
    config: &Config,
    env: &Env,
    service: &Arc<Service>,
    first: Option<FirstStart>,
    clock: Option<Timestamp>,
) -> Result<Running> {
    // Left behind by a killed owner of this folder; whoever waits for the file must not read it.
    Endpoint::withdraw(&config.data)?;
    let first = match first {
        Some(first) => {
            let files = keep(&first, &config.data)?;
            // Only now: a start that was killed before this makes new secrets the next time.
            service.confirm_first_start().await.map_err(told)?;
            Some(files)
        }
        None => None,
    };
    if !Owner::is_kept(&config.data) {
        tracing::warn!("owner.json is not there: `tresor env` cannot print credentials");
    }
    let tls = config.data.join("tls");
    let Identity { tls, ca_file } = certificate::ready(&tls, &config.tls, env.real())?;
    let listener = bind(config.listen)?;
    let base_url = base_url(config, listener.local_addr()?);
    let lives = match config.test.ephemeral {
        true => Some(Lives::of(config, env, clock, service).await?),
        false => None,
    };
    let (router, identity) = match &lives {
        Some(lives) => (lives.router(), None),
        None => {
            let (api, identity) = api(service, config, &base_url).await?;
            (health::beside(api, service.clone()), identity)
        }
    };
    let identity = identity::listen(config, identity).await?;
    let handle = Handle::new();
    let server = axum_server::from_tcp_rustls(listener, RustlsConfig::from_config(tls))?;
    let server = connection::bounded(server, &config.wire).handle(handle.clone());
    // Limits, the audit trail and the hooks want to know where a request comes from.
    let router = router.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(server.serve(router));
    let Some(_) = handle.listening().await else {
        return Err(anyhow!("cannot listen on {}", config.listen));
    };
    Endpoint { base_url: base_url.clone(), pid: std::process::id(), ca_file: ca_file.clone() }
        .publish(&config.data)?;
    tracing::info!(%base_url, data = %config.data.display(), "listening");
    Ok(Running {
        service: service.clone(),
        lives,
        handle,
        server,
        identity,
        data: config.data.clone(),
        patience: Duration::from_secs(config.shutdown.seconds),
        base_url,
        ca_file,
        first,
    })
}

/// The API, and the managed identity endpoint where that is on; made on a thread that may block,
/// because it reads or makes its keys.
async fn api(
    service: &Arc<Service>,
    config: &Config,
    base_url: &str,
) -> Result<(axum::Router, Option<IdentityEndpoint>)> {
    let (service, settings) = (service.clone(), wire_settings(config));
    let identity = identity::settings(config, base_url)?;
    let made = tokio::task::spawn_blocking(move || match identity {
        None => Ok((tresor_arm::app(service, settings)?, None)),
        Some(identity) => tresor_arm::app_and_identity(service, settings, identity)
            .map(|(api, endpoint)| (api, Some(endpoint))),
    });
    made.await?.map_err(told)
}

/// Writes what only a first start knows.
fn keep(first: &FirstStart, data: &Path) -> Result<FirstFiles> {
    let owner = Owner {
        tenant: first.tenant,
        subscription: first.subscription,
        client_id: first.client_id,
        client_secret: first.client_secret.clone(),
    };
    let recovery_key = credentials::keep_recovery_key(data, &first.recovery_key.to_string())?;
    Ok(FirstFiles { owner: owner.keep(data)?, recovery_key })
}

fn announce(first: &FirstFiles, data: &Path) -> Result<()> {
    say(format_args!(
        "First start. Two files were made that only you can read:\n  \
         {}  the owner's credentials; `tresor env --data {}` prints them\n  \
         {}  the recovery key: it opens the store when every other key is lost.\n  \
         Keep a copy of the recovery key somewhere else and delete the file here.",
        first.owner.display(),
        data.display(),
        first.recovery_key.display()
    ))?;
    Ok(())
}

fn introduce(data: &Path) -> Result<()> {
    say(format_args!(
        "A service for tests: everything is in {} and goes at the end.\n\
         `tresor env --data {}` prints its address and the owner's credentials.",
        data.display(),
        data.display()
    ))?;
    Ok(())
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listener = TcpListener::bind(address)
        .with_context(|| format!("cannot listen on {address} (see --listen)"))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The address for clients: as configured, or the listener's.
fn base_url(config: &Config, bound: SocketAddr) -> String {
    if !config.base_url.is_empty() {
        return config.base_url.clone();
    }
    let port = bound.port();
    match bound.ip() {
        // By name: the certificate carries it, and so do the examples of every client.
        ip if ip.is_loopback() || ip.is_unspecified() => format!("https://localhost:{port}"),
        IpAddr::V4(ip) => format!("https://{ip}:{port}"),
        IpAddr::V6(ip) => format!("https://[{ip}]:{port}"),
    }
}

fn settings(config: &Config, hooks: Option<Arc<Hooks>>) -> Settings {
    Settings {
        pool: config.volumes(),
        store: config.store_folder(),
        import: config.import.folders.clone(),
        limits: config.limits.mode,
        workers: config.workers,
        locations: config.locations.clone(),
        store_config: config.store.clone(),
        volatile: config.test.ephemeral,
        hooks,
        audit: AuditSettings {
            file_bytes: config.audit.file_bytes,
            files: config.audit.files,
            days: config.audit.days,
        },
    }
}

fn wire_settings(config: &Config) -> WireSettings {
    WireSettings {
        base_url: (!config.base_url.is_empty()).then(|| config.base_url.clone()),
        retry_after: match config.fidelity.retry_after {
            RetryMode::Tresor => RetryAfter::Tresor,
            RetryMode::Azure => RetryAfter::Azure,
        },
        poll_hold: Duration::from_millis(config.wire.poll_hold_ms),
        max_polls: config.wire.max_polls,
        max_body: config.wire.max_body_bytes,
        max_target: config.wire.max_target_bytes,
        max_requests: config.wire.max_requests,
        request_timeout: Duration::from_secs(config.wire.request_seconds),
        token_lifetime: Duration::from_secs(config.tokens.lifetime_seconds),
        signing_key_lifetime: Duration::from_secs(config.tokens.key_days * 86_400),
        rates: rates(&config.rate),
    }
}

fn rates(config: &config::Rate) -> Rates {
    let rate = |burst, per_minute| Rate { burst, per_minute };
    Rates {
        reads: rate(config.reads, config.reads_per_minute),
        writes: rate(config.writes, config.writes_per_minute),
        deletes: rate(config.deletes, config.deletes_per_minute),
        anonymous: rate(config.anonymous, config.anonymous_per_minute),
        secrets: rate(config.wrong_secrets, config.wrong_secrets_per_minute),
    }
}

/// The service that answers now.
fn present(lives: Option<&Arc<Lives>>, service: &Arc<Service>) -> Arc<Service> {
    lives.map_or_else(|| service.clone(), |lives| lives.service())
}

impl Running {
    /// Stops in order; every wait is bounded.
    pub(crate) async fn stop(self) -> Result<()> {
        Endpoint::withdraw(&self.data)?;
        self.handle.graceful_shutdown(Some(self.patience));
        if let Some(identity) = self.identity {
            identity.stop(&self.data, self.patience).await;
        }
        let (ended, lives) = (self.server.await, self.lives);
        let rested =
            tokio::time::timeout(self.patience, present(lives.as_ref(), &self.service).stop())
                .await;
        ended??;
        if rested.is_err() {
            bail!("jobs did not come to rest in time; the next start goes on with them");
        }
        Ok(())
    }

    /// The listener has failed: let the rest come to an end, within the same bound.
    async fn abandon(&self) {
        if let Err(error) = Endpoint::withdraw(&self.data) {
            tracing::warn!("{error:#}");
        }
        if tokio::time::timeout(self.patience, present(self.lives.as_ref(), &self.service).stop())
            .await
            .is_err()
        {
            tracing::warn!("jobs did not come to rest in time");
        }
    }
}

/// The signals that ask for a stop.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Listens from now on.
    pub(crate) fn new() -> Result<Stop> {
        let listen = || -> std::io::Result<Stop> {
            Ok(Stop {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            })
        };
        listen().context("signals cannot be received")
    }

    /// Resolves when a stop is asked for.
    pub(crate) async fn requested(&mut self) {
        self.number().await;
    }

    /// Resolves when a stop is asked for, to the signal's number.
    pub(crate) async fn number(&mut self) -> u8 {
        tokio::select! {
            _ = self.terminate.recv() => 15,
            _ = self.interrupt.recv() => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_given_an_address_that_the_certificate_carries() {
        let url = |text: &str| base_url(&Config::default(), text.parse().unwrap());
        assert_eq!(url("127.0.0.1:8443"), "https://localhost:8443");
        assert_eq!(url("0.0.0.0:1"), "https://localhost:1");
        assert_eq!(url("[::1]:2"), "https://localhost:2");
        assert_eq!(url("10.0.0.7:3"), "https://10.0.0.7:3");
        assert_eq!(url("[fd00::1]:4"), "https://[fd00::1]:4");
        let config = Config { base_url: "https://b.example".to_owned(), ..Config::default() };
        assert_eq!(base_url(&config, "127.0.0.1:5".parse().unwrap()), "https://b.example");
    }

    #[test]
    fn a_hint_names_the_process_that_owns_the_folder() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(owner_hint(data.path()), "");
        let ca_file = PathBuf::from("/d/ca.pem");
        let endpoint = Endpoint { base_url: "https://localhost:9".to_owned(), pid: 42, ca_file };
        endpoint.publish(data.path()).unwrap();
        let hint = owner_hint(data.path());
        assert!(hint.contains("process 42") && hint.contains("localhost:9"), "{hint}");
    }
}
