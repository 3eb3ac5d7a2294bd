//! `tresor demo`: the whole journey on real bytes, shown step by step.
//!
//! The service runs in this process with its embedded defaults; the demo then talks to it as any
//! client would, over HTTPS, and believes only what comes back. It fails when the restored disk
//! differs from the local one in a single byte.

mod guide;
mod image;
mod journey;
mod summary;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use tresor_store::env::Env;

use crate::client::{self, Client, Site};
use crate::config::{Config, Log, LogFormat, Sources};
use crate::logging;
use crate::serve::{self, Running, Stop, credentials::Owner};
use crate::terminal::{note, say, size};
use crate::usage::Usage;
use image::Image;
use journey::{Incremental, Journey, Outcome};

/// What `tresor demo` can be told.
#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Data folder of the demo's service [default: a new temporary folder, kept]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Protect this raw disk image (it is only read) instead of making one
    #[arg(long, value_name = "PATH", conflicts_with = "size")]
    image: Option<PathBuf>,
    /// Size of the image that is made, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 512,
          value_parser = clap::value_parser!(u64).range(image::SMALLEST_MIB..=64 << 10))]
    size: u64,
    /// Address and port of the service [default: 127.0.0.1:8443, or a free port]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,
    /// Stop the service at the end instead of leaving it up
    #[arg(long)]
    exit: bool,
}

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs) -> Result<()> {
    logging::start(&Log { format: LogFormat::Text, filter: "warn".to_owned() })?;
    let settings = settings(args)?;
    say(format_args!("data folder: {}", settings.data.display()))?;
    let place = settings.data.join("demo");
    crate::durable::folder(&settings.data)?;
    crate::durable::folder(&place)?;
    let image = match &args.image {
        Some(path) => Image::open(path)?,
        None => {
            let path = place.join("disk.img");
            image::make(&path, args.size, &place)?;
            say(format_args!("disk image: {} (GPT, one ext4 partition)", path.display()))?;
            Image::open(&path)?
        }
    };
    let runtime = serve::runtime()?;
    let done = runtime.block_on(async {
        let mut stop = Stop::new()?;
        let env = Env::system();
        let running = serve::start(&settings, &env).await?;
        say(format_args!("listening on {}", running.base_url))?;
        let outcome = tokio::select! {
            outcome = walk(args, &settings, &running, env, image, &place) => outcome,
            () = stop.requested() => Err(anyhow::anyhow!("interrupted")),
        };
        if outcome.is_ok() && !args.exit {
            let program = std::env::current_exe()?;
            let (url, ca_file) = (&running.base_url, &running.ca_file);
            say(guide::guide(&program, url, ca_file, &settings.data))?;
            stop.requested().await;
        }
        let stopped = running.stop().await;
        outcome.and(stopped)
    });
    runtime.shutdown_timeout(Duration::from_secs(settings.shutdown.seconds));
    done
}

/// The embedded defaults, in the folder and at the address that were asked for.
fn settings(args: &DemoArgs) -> Result<Config> {
    let data = match &args.data {
        Some(data) => data.clone(),
        None => tempfile::Builder::new()
            .prefix("tresor-demo-")
            .tempdir()
            .context("cannot make a temporary folder (see --data)")?
            .keep(),
    };
    let data = std::path::absolute(data)?;
    let text = data.to_str().ok_or_else(|| Usage::error("--data is no Unicode text"))?;
    let flags = vec![("data", text.to_owned()), ("listen", address(args).to_string())];
    let environment = Sources::process_environment();
    Sources { file: None, environment, flags }.load()
}

/// The usual port when it is free and the service stays up; any free one otherwise.
fn address(args: &DemoArgs) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, 8443));
    match args.listen {
        Some(listen) => listen,
        None if !args.exit && TcpListener::bind(usual).is_ok() => usual,
        None => SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
    }
}

async fn walk(
    args: &DemoArgs,
    settings: &Config,
    running: &Running,
    env: Env,
    image: Image,
    place: &Path,
) -> Result<()> {
    let owner = Owner::read(&settings.data)?;
    let site = Site::new(&running.base_url, Some(running.ca_file.clone()))?;
    let client = Client::new(site, client::owner(&owner), env.clone())?;
    let subscription = format!("/subscriptions/{}", owner.subscription);
    let download = place.join("restored.img");
    let outcome = Journey::new(Arc::new(client), subscription, env).walk(image, &download).await?;
    report(&outcome, settings)?;
    if outcome.local != outcome.restored {
        bail!("the restored disk differs from the local one");
    }
    say("the restored disk equals the local one, byte for byte")?;
    if args.image.is_none() {
        match image::check(&download)? {
            Some(true) => say("its file system is sound (e2fsck)")?,
            Some(false) => bail!("e2fsck finds faults in the restored file system"),
            None => note("e2fsck is not there: the restored file system was not checked"),
        }
    }
    Ok(())
}

fn report(outcome: &Outcome, settings: &Config) -> Result<()> {
    say("")?;
    say(summary::table(&outcome.rows))?;
    say(cost(&outcome.incremental))?;
    let store = settings.store_folder();
    say(format_args!("the store takes {} on disk", size(occupied(&store)?)))?;
    for (name, local, restored) in [
        ("SHA-256", &outcome.local.sha256, &outcome.restored.sha256),
        ("BLAKE3 ", &outcome.local.blake3, &outcome.restored.blake3),
    ] {
        say(format_args!("{name} local    {local}\n{name} restored {restored}"))?;
    }
    Ok(())
}

/// What the incremental backup cost, beside the first one.
fn cost(incremental: &Incremental) -> String {
    let told = |value: Option<u64>| value.map_or_else(|| "(not told)".to_owned(), size);
    format!(
        "the second backup read {} and stored {} for {} changed (the first: {} and {})",
        told(incremental.second.read),
        told(incremental.second.stored),
        size(incremental.changed),
        told(incremental.first.read),
        told(incremental.first.stored),
    )
}

/// Bytes of all files in a folder.
fn occupied(folder: &Path) -> Result<u64> {
    let mut sum = 0;
    let mut pending = vec![folder.to_path_buf()];
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(&path).with_context(|| path.display().to_string())? {
            let entry = entry?;
            let about = entry.metadata()?;
            if about.is_dir() {
                pending.push(entry.path());
            } else {
                sum += about.len();
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::job::Figures;

    #[test]
    fn a_folders_size_is_that_of_its_files() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b")).unwrap();
        std::fs::write(folder.path().join("x"), [0; 10]).unwrap();
        std::fs::write(folder.path().join("a/b/y"), [0; 32]).unwrap();
        assert_eq!(occupied(folder.path()).unwrap(), 42);
        assert!(occupied(&folder.path().join("none")).is_err());
    }

    #[test]
    fn an_incrementals_cost_is_told_beside_the_first() {
        let first =
            Figures { read: Some(512 << 20), stored: Some(100 << 20), ..Figures::default() };
        let second = Figures { read: Some(6 << 20), ..Figures::default() };
        let text = cost(&Incremental { changed: 5 << 20, first, second });
        assert_eq!(
            text,
            "the second backup read 6.0 MiB and stored (not told) for 5.0 MiB changed \
             (the first: 512.0 MiB and 100.0 MiB)"
        );
    }

    #[test]
    fn an_address_that_is_given_is_taken() {
        let listen = Some(SocketAddr::from(([127, 0, 0, 1], 9)));
        let args = DemoArgs { data: None, image: None, size: 64, listen, exit: true };
        assert_eq!(address(&args).port(), 9);
        assert_eq!(address(&DemoArgs { listen: None, ..args }).port(), 0);
    }
}
