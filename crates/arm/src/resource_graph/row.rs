//! The rows: walked in order, shown to those who may read them.
//!
//! A page ends where it is full, or where as many rows were looked at as one request may; its
//! token names the last row that was looked at, so rows that come and go meanwhile hide no others.

use super::Asked;
use super::query::{Column, Filter, Query, Table};
use crate::types::instance::{self, Phase};
use crate::types::job::{self, View};
use crate::wire::error::ArmError;
use crate::wire::request::Request;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tresor_core::catalogue::{PAGE_MAX, ResourceFilter};
use tresor_core::model::{Instance, Job, JobCategory, Resource, ResourceId};
use tresor_core::service::{JobQuery, Rights};

/// Rows that one request looks at.
const SCANNED_MAX: usize = 20_000;
const VAULTS: &str = "microsoft.dataprotection/backupvaults";
const INSTANCES: &str = "microsoft.dataprotection/backupvaults/backupinstances";
const READ_INSTANCE: &str = "Microsoft.DataProtection/backupVaults/backupInstances/read";
const READ_JOB: &str = "Microsoft.DataProtection/backupVaults/backupJobs/read";
const DISKS: &str = "Microsoft.Compute/disks";

/// A page of rows.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) rows: Vec<Value>,
    /// Rows that fit, as far as was looked.
    pub(super) total: usize,
    /// Where the next page begins.
    pub(super) next: Option<String>,
    /// Whether there may be rows that were not counted.
    pub(super) truncated: bool,
}

/// The last row that a page looked at.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Place {
    /// Key of an instance, or of the vault of a job.
    key: String,
    /// Cursor of the list of jobs before the one with the job in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cursor: Option<String>,
    /// The job's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

/// What a walk has gathered.
struct Walk<'a> {
    asked: &'a Asked,
    rights: Rights,
    page: Page,
    skip: usize,
    scanned: usize,
    /// The row that filled the page.
    full: Option<Place>,
}

/// The page that is asked for.
pub(super) async fn page(request: &Request, asked: &Asked) -> Result<Page, ArmError> {
    let rights = request.app.service.rights(&request.caller).await?;
    let mut walk =
        Walk { asked, rights, page: Page::default(), skip: asked.skip, scanned: 0, full: None };
    // The seal keeps others from making a place up; one that does not read starts the list anew.
    let after = asked.after.as_deref().and_then(|text| serde_json::from_str(text).ok());
    let after: Option<Place> = after;
    match asked.query.table {
        Table::Instances => walk.instances(request, after).await?,
        Table::Jobs => walk.jobs(request, after).await?,
    }
    Ok(walk.page)
}

impl Walk<'_> {
    async fn instances(&mut self, request: &Request, after: Option<Place>) -> Result<(), ArmError> {
        let under = ResourceId::of_subscription(request.app.service.subscription());
        let mut filter = ResourceFilter {
            kind: Some(INSTANCES.into()),
            under: Some(under),
            after: after.map(|place| place.key),
            limit: PAGE_MAX,
            ..ResourceFilter::default()
        };
        loop {
            let page = request.app.service.resources(&filter).await?;
            for row in &page.rows {
                let Some(model) = row.as_instance() else {
                    continue;
                };
                let place = || Place { key: row.id.key().to_owned(), ..Place::default() };
                let fits = fits_instance(&self.asked.query, row, model)
                    && self.rights.allow(READ_INSTANCE, &row.id);
                if !self.take(fits, || instance_row(request, row, model), place) {
                    return Ok(());
                }
            }
            match page.after {
                Some(next) => filter.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    async fn jobs(&mut self, request: &Request, mut after: Option<Place>) -> Result<(), ArmError> {
        let service = &request.app.service;
        let under = ResourceId::of_subscription(service.subscription());
        let mut filter = ResourceFilter {
            kind: Some(VAULTS.into()),
            under: Some(under),
            after: None,
            limit: PAGE_MAX,
            ..ResourceFilter::default()
        };
        loop {
            let vaults = service.resources(&filter).await?;
            for vault in &vaults.rows {
                let place = match after.take() {
                    Some(place) if place.key.as_str() > vault.id.key() => {
                        after = Some(place);
                        continue;
                    }
                    place => place.filter(|place| place.key == vault.id.key()),
                };
                if !self.jobs_of(request, vault, place.unwrap_or_default()).await? {
                    return Ok(());
                }
            }
            match vaults.after {
                Some(next) => filter.after = Some(next),
                None => return Ok(()),
            }
        }
    }

    /// The jobs of one vault behind a place; false when the page is at its end.
    async fn jobs_of(
        &mut self,
        request: &Request,
        vault: &Resource,
        place: Place,
    ) -> Result<bool, ArmError> {
        let (mut cursor, mut behind) = (place.cursor, place.job);
        // The list ends by itself where jobs are older than asked for.
        let query = JobQuery { from: self.asked.query.started_after(), ..JobQuery::default() };
        let service = &request.app.service;
        loop {
            let page = service.jobs(&vault.id, &query, cursor.clone(), PAGE_MAX).await?;
            // A place whose job is gone goes on at the beginning of its stretch.
            if page.rows.iter().all(|row| Some(row.id.to_string()) != behind) {
                behind = None;
            }
            for row in &page.rows {
                let id = row.id.to_string();
                if behind.is_some() {
                    behind.take_if(|last| *last == id);
                    continue;
                }
                let place = || Place {
                    key: vault.id.key().to_owned(),
                    cursor: cursor.clone(),
                    job: Some(id.clone()),
                };
                let fits = fits_job(&self.asked.query, row) && self.may_read(row);
                if !self.take(fits, || job_row(request, row), place) {
                    return Ok(false);
                }
            }
            match page.after {
                Some(next) => cursor = Some(next),
                None => return Ok(true),
            }
        }
    }

    fn may_read(&self, job: &Job) -> bool {
        let id = job.vault.join(&format!("backupJobs/{}", job.id));
        id.is_ok_and(|id| self.rights.allow(READ_JOB, &id))
    }

    /// Counts a row and takes it while there is room; false when enough was looked at.
    fn take(
        &mut self,
        fits: bool,
        row: impl FnOnce() -> Value,
        place: impl FnOnce() -> Place,
    ) -> bool {
        self.scanned += 1;
        let last = self.scanned >= SCANNED_MAX;
        let mut here = Some(place);
        if fits {
            self.page.total += 1;
            if self.skip > 0 {
                self.skip -= 1;
            } else if self.full.is_some() {
                // Only now it is known that another page follows.
                self.page.next = written(self.full.as_ref());
            } else {
                self.page.rows.push(row());
                if self.page.rows.len() >= self.asked.top {
                    self.full = here.take().map(|place| place());
                }
            }
        }
        if last {
            self.page.truncated = true;
            let on = self.full.take().or_else(|| here.take().map(|place| place()));
            self.page.next = written(on.as_ref());
        }
        !last
    }
}

fn written(place: Option<&Place>) -> Option<String> {
    place.and_then(|place| serde_json::to_string(place).ok())
}

/// Whether each filter holds for the texts and times of a row.
fn fits(
    query: &Query,
    text: impl Fn(Column) -> String,
    times: (Option<Timestamp>, Option<Timestamp>),
) -> bool {
    query.filters.iter().all(|filter| match filter {
        Filter::In(column, values) => {
            let own = text(*column).to_lowercase();
            values.iter().any(|value| value.to_lowercase() == own)
        }
        Filter::StartedAfter(time) => times.0.is_some_and(|own| is_after(own, *time)),
        Filter::EndedAfter(time) => times.1.is_some_and(|own| is_after(own, *time)),
    })
}

/// Whether an instant comes after another as both are written, in ticks of 100 ns.
fn is_after(own: Timestamp, other: Timestamp) -> bool {
    own.as_nanosecond().div_euclid(100) > other.as_nanosecond().div_euclid(100)
}

fn fits_instance(query: &Query, row: &Resource, model: &Instance) -> bool {
    let text = |column| match column {
        Column::DatasourceType => DISKS.to_owned(),
        Column::Group => row.id.group().unwrap_or_default().to_owned(),
        Column::Vault => model.vault.name().to_owned(),
        Column::State => instance::current_state(model).to_owned(),
        Column::DatasourceId => model.disk.id.to_string(),
        Column::Id => row.id.to_string(),
        Column::Name => row.id.name().to_owned(),
        // No query of instances names these.
        Column::Status | Column::Operation => String::new(),
    };
    fits(query, text, (None, None))
}

fn fits_job(query: &Query, row: &Job) -> bool {
    let text = |column| match column {
        Column::DatasourceType => DISKS.to_owned(),
        Column::Group => row.vault.group().unwrap_or_default().to_owned(),
        Column::Vault => row.vault.name().to_owned(),
        Column::Status => job::status(row.status).to_owned(),
        Column::Operation => operation(row),
        Column::DatasourceId => row.disk.to_string(),
        Column::Id | Column::Name => row.id.to_string(),
        // No query of jobs names it.
        Column::State => String::new(),
    };
    fits(query, text, (Some(row.started), row.ended))
}

/// What the queries call the operation of a job.
fn operation(job: &Job) -> String {
    let category = job::category(job.category);
    match (job.category, job.user_triggered) {
        (JobCategory::Backup, true) => format!("OnDemand{category}"),
        (JobCategory::Backup, false) => format!("Scheduled{category}"),
        (JobCategory::Restore, _) => category.to_owned(),
    }
}

/// What every row of Resource Graph has, and the columns that a query adds.
fn row(
    request: &Request,
    id: &str,
    group: Option<&str>,
    document: &Value,
    added: [(&str, Value); 4],
) -> Value {
    let member = |name: &str| document.get(name).cloned().unwrap_or_default();
    let service = &request.app.service;
    let mut row = json!({
        "id": id,
        "name": member("name"),
        "type": member("type").as_str().unwrap_or_default().to_lowercase(),
        "tenantId": service.tenant().to_string(),
        "kind": "",
        "location": "",
        "resourceGroup": group.unwrap_or_default().to_lowercase(),
        "subscriptionId": service.subscription().to_string(),
        "managedBy": "",
        "sku": null,
        "plan": null,
        "properties": member("properties"),
        "tags": member("tags"),
        "identity": null,
        "zones": null,
        "extendedLocation": null,
    });
    if let Some(members) = row.as_object_mut() {
        let added = added.into_iter().filter(|(name, _)| !name.is_empty());
        members.extend(added.map(|(name, value)| (name.to_owned(), value)));
    }
    row
}

fn instance_row(request: &Request, resource: &Resource, model: &Instance) -> Value {
    let document = instance::json(resource, model, Phase::Settled);
    let added = [
        ("vaultName", model.vault.name().into()),
        ("protectionState", instance::current_state(model).into()),
        ("datasourceId", model.disk.id.as_str().into()),
        ("", Value::Null),
    ];
    row(request, resource.id.as_str(), resource.id.group(), &document, added)
}

fn job_row(request: &Request, job: &Job) -> Value {
    let document = job::json(job, View::Row);
    let added = [
        ("vaultName", job.vault.name().into()),
        ("status", job::status(job.status).into()),
        ("operation", operation(job).into()),
        ("datasourceId", job.disk.as_str().into()),
    ];
    let id = document.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    row(request, &id, job.vault.group(), &document, added)
}
