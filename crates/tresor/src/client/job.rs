//! Jobs: waited for, and their figures read.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::refusal::Refusal;
use super::{Api, Client, PATIENCE, text};
use crate::terminal::{Progress, size};

/// The first and the longest pause between two looks at a running job.
const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(2);

/// The numbers of a job, from `extendedInfo.additionalDetails`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figures {
    pub(crate) read: Option<u64>,
    pub(crate) stored: Option<u64>,
    pub(crate) percent: Option<u64>,
    pub(crate) rate: Option<u64>,
    pub(crate) seconds_left: Option<u64>,
}

impl Figures {
    /// Reads the numbers of a job; those that the service does not tell stay out.
    pub(crate) fn of(job: &Value) -> Figures {
        let details = job.pointer("/properties/extendedInfo/additionalDetails");
        let number = |name: &str| -> Option<f64> { details?.get(name)?.as_str()?.parse().ok() };
        let whole = |name: &str| number(name).map(|value| value.max(0.0) as u64);
        Figures {
            read: whole("BytesRead"),
            stored: whole("BytesStored"),
            percent: whole("PercentComplete"),
            rate: whole("BytesPerSecond"),
            seconds_left: whole("SecondsLeft"),
        }
    }

    /// Bytes, rate and time left, as far as they are told.
    pub(crate) fn pace(&self) -> String {
        let read = self.read.map(size);
        let rate = self.rate.map(|rate| format!("{}/s", size(rate)));
        let left = self.seconds_left.map(|seconds| format!("{seconds} s left"));
        read.into_iter().chain(rate).chain(left).collect::<Vec<_>>().join(", ")
    }
}

/// The id of the job that an operation began.
pub(crate) fn id_of(operation: &Value) -> Result<&str> {
    text(operation, "/jobId").context("the operation gave no jobId")
}

impl Client {
    /// Waits until a job ends and shows how it goes. A job that fails is an error.
    pub(crate) async fn follow(&self, title: &str, id: &str, most: Duration) -> Result<Value> {
        let progress = Progress::percent(title);
        let job = self.wait(id, most, |job| {
            let figures = Figures::of(job);
            progress.tell(figures.pace());
            if let Some(percent) = figures.percent {
                progress.at(percent);
            }
        });
        let job = job.await.with_context(|| title.to_owned())?;
        let took = text(&job, "/properties/duration").unwrap_or("-").to_owned();
        progress.done(format_args!("Completed, duration {took}"));
        Ok(job)
    }

    /// Waits until a backup instance is protected; gives it as it then is.
    pub(crate) async fn protected(&self, id: &str) -> Result<Value> {
        let deadline = self.env.monotonic() + PATIENCE;
        let mut pause = FIRST;
        loop {
            let instance = self.get(id, Api::Protection).await?;
            match text(&instance, "/properties/protectionStatus/status").unwrap_or_default() {
                "ProtectionConfigured" => return Ok(instance),
                "ConfiguringProtection" => {}
                other => {
                    let told = instance.pointer("/properties/protectionStatus/errorDetails");
                    let error = anyhow::Error::new(Refusal::read(0, told));
                    return Err(error.context(format!("the protection is {other}")));
                }
            }
            if self.env.monotonic() > deadline {
                bail!("the protection was not configured in time");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST);
        }
    }

    /// Looks at a job until it ends; `watch` sees every look.
    async fn wait(&self, id: &str, most: Duration, watch: impl Fn(&Value)) -> Result<Value> {
        let deadline = self.env.monotonic() + most;
        let mut pause = FIRST;
        loop {
            let job = self.get(id, Api::Protection).await?;
            watch(&job);
            match text(&job, "/properties/status").unwrap_or_default() {
                "Completed" | "CompletedWithWarnings" => return Ok(job),
                "InProgress" | "NotStarted" | "Cancelling" => {}
                other => {
                    let error = Refusal::read(0, job.pointer("/properties/errorDetails/0"));
                    let error = anyhow::Error::new(error);
                    return Err(error.context(format!("the job {id} ended as {other}")));
                }
            }
            if self.env.monotonic() > deadline {
                bail!("the job {id} has not ended within {} s; it goes on", most.as_secs());
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_jobs_numbers_are_strings_on_the_wire() {
        let job = json!({"properties": {"extendedInfo": {"additionalDetails": {
            "BytesRead": "1048576", "BytesStored": "10", "PercentComplete": "42.5",
            "BytesPerSecond": "2048", "SecondsLeft": "7"}}}});
        let figures = Figures {
            read: Some(1 << 20),
            stored: Some(10),
            percent: Some(42),
            rate: Some(2048),
            seconds_left: Some(7),
        };
        assert_eq!(Figures::of(&job), figures);
        assert_eq!(figures.pace(), "1.0 MiB, 2.0 KiB/s, 7 s left");
        assert_eq!(Figures::default().pace(), "");
        let none = json!({"properties": {"extendedInfo": null}});
        assert_eq!(Figures::of(&none), Figures::default());
    }
}
