//! The lives of an ephemeral service: each reset begins a new one.
//!
//! A reset does not tidy up: it opens a copy of the data folder as it was before the first request
//! and lets that service answer from then on. So nothing can be left, whatever a release keeps and
//! wherever. Credentials, keys, tenant and subscription are part of the copy; address and
//! certificate stay with the listener. The life before is stopped and its folder removed behind
//! the answer; two lives at a time are the most there are.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::extract::Request;
use futures::FutureExt;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use tresor_core::error::Error;
use tresor_core::hook::{Hooks, ManualClock};
use tresor_core::service::{FirstStart, Service};
use tresor_store::env::Env;

use super::{Opened, ephemeral, health, open, told, wire_settings};
use crate::config::{Config, DomainClock};

/// All lives of one service.
pub(super) struct Lives {
    config: Config,
    env: Env,
    /// Where each life's clock begins, when it is moved by hand.
    start: Option<Timestamp>,
    now: RwLock<Life>,
    turn: Mutex<Turn>,
}

/// One life.
#[derive(Clone)]
struct Life {
    service: Arc<Service>,
    router: Router,
    folder: PathBuf,
}

/// What a reset has to know of the one before.
struct Turn {
    number: u64,
    leaving: Option<JoinHandle<()>>,
}

impl Lives {
    /// Opens the first life in the configuration's data folder.
    pub(super) async fn begin(config: &Config, env: &Env) -> Result<(Opened, Option<Timestamp>)> {
        let start = match config.test.clock {
            DomainClock::System => None,
            DomainClock::Manual => Some(whole_second(env.real())),
            DomainClock::ManualFrom(start) => Some(start),
        };
        Ok((live(config, env, start, 0).await?, start))
    }

    /// The lives after the first one, which nobody has asked anything yet.
    pub(super) async fn of(
        config: &Config,
        env: &Env,
        start: Option<Timestamp>,
        service: &Arc<Service>,
    ) -> Result<Arc<Lives>> {
        let folder = life_folder(config, 0);
        let first =
            Life { service: Arc::clone(service), router: Router::new(), folder: folder.clone() };
        let lives = Arc::new(Lives {
            config: config.clone(),
            env: env.clone(),
            start,
            now: RwLock::new(first.clone()),
            turn: Mutex::new(Turn { number: 0, leaving: None }),
        });
        let router = lives.router_of(service).await?;
        let pristine = config.data.join("pristine");
        // All keys are made, no worker runs, no request was answered: the folder is at rest.
        tokio::task::spawn_blocking(move || ephemeral::copy(&folder, &pristine)).await??;
        lives.replace(Life { router, ..first });
        Ok(lives)
    }

    /// The router that hands every request to the life of that moment.
    pub(super) fn router(self: &Arc<Lives>) -> Router {
        let lives = Arc::clone(self);
        Router::new().fallback(move |request: Request| {
            let router = lives.now().router;
            async move { router.oneshot(request).await }
        })
    }

    /// The service of this moment.
    pub(super) fn service(&self) -> Arc<Service> {
        self.now().service
    }

    /// Begins a new life.
    async fn reset(self: &Arc<Lives>) -> Result<()> {
        let mut turn = self.turn.lock().await;
        if let Some(leaving) = turn.leaving.take() {
            leaving.await?;
        }
        turn.number += 1;
        let folder = life_folder(&self.config, turn.number);
        let (pristine, to) = (self.config.data.join("pristine"), folder.clone());
        tokio::task::spawn_blocking(move || ephemeral::copy(&pristine, &to)).await??;
        let (service, _) = live(&self.config, &self.env, self.start, turn.number).await?;
        let router = self.router_of(&service).await?;
        service.start().await;
        let before = self.replace(Life { service, router, folder });
        let patience = Duration::from_secs(self.config.shutdown.seconds);
        turn.leaving = Some(tokio::spawn(leave(before, patience)));
        Ok(())
    }

    fn now(&self) -> Life {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets another life answer from now on; gives the one before back.
    fn replace(&self, life: Life) -> Life {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *now, life)
    }

    /// What answers for a service.
    async fn router_of(self: &Arc<Lives>, service: &Arc<Service>) -> Result<Router> {
        let (own, wire) = (Arc::clone(service), wire_settings(&self.config));
        let reset = door_to(Arc::downgrade(self));
        let made = tokio::task::spawn_blocking(move || tresor_arm::resettable(own, wire, reset));
        Ok(health::beside(made.await?.map_err(told)?, Arc::clone(service)))
    }
}

/// What the wire calls for a reset. It does not keep the lives alive, of which it is a part.
fn door_to(lives: Weak<Lives>) -> tresor_arm::Reset {
    Arc::new(move || reset(lives.clone()).boxed())
}

async fn reset(lives: Weak<Lives>) -> tresor_core::error::Result<()> {
    let Some(lives) = lives.upgrade() else { return Ok(()) };
    lives.reset().await.map_err(|error| Error::internal("beginning anew", format!("{error:#}")))
}

fn life_folder(config: &Config, number: u64) -> PathBuf {
    config.data.join(format!("life-{number}"))
}

/// Opens the service of one life, with hooks of its own.
async fn live(
    config: &Config,
    env: &Env,
    start: Option<Timestamp>,
    number: u64,
) -> Result<(Arc<Service>, Option<FirstStart>)> {
    let clock = start.map(|start| ManualClock::new(env.clone(), start));
    let env = clock.as_ref().map_or_else(|| env.clone(), ManualClock::env);
    let config = Config { data: life_folder(config, number), ..config.clone() };
    open(&config, &env, Some(Arc::new(Hooks::new(clock)))).await
}

/// Ends a life and removes what it kept. Requests that it still works on end with it.
async fn leave(life: Life, patience: Duration) {
    if tokio::time::timeout(patience, life.service.stop()).await.is_err() {
        tracing::warn!("the jobs of the service before did not come to rest in time");
    }
    let folder = life.folder.clone();
    drop(life);
    let removed = tokio::task::spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
    match removed.context("removing a life's folder").map(Result::err) {
        Ok(None) => {}
        Ok(Some(error)) => tracing::warn!(%error, "the folder before could not be removed"),
        Err(error) => tracing::warn!("{error:#}"),
    }
}

/// Clocks that begin by themselves begin at a time that is easy to read.
fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
