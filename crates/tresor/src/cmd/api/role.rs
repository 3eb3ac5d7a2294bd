//! `tresor role`: who may do what, and where.

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use serde_json::Value;
use uuid::Uuid;

use super::consent::Consent;
use super::names::{DISKS, InVault, whole};
use super::output::{Column, Format, Shown};
use super::session::Session;
use crate::client::refusal::Refusal;
use crate::client::{Api, body, last, text};
use crate::terminal::note;
use crate::usage::Usage;

#[derive(Args)]
pub(crate) struct RoleArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Give a principal a role at a scope
    #[command(after_help = "Examples:\n  \
        tresor role assign --assignee 8f3a... --role Reader -g rg-1\n  \
        tresor role assign --assignee 8f3a... --role 'Disk Backup Reader' --scope /sub...")]
    Assign {
        #[command(flatten)]
        who: Assignee,
        /// Role, by name or id
        #[arg(long, value_name = "NAME|ID")]
        role: String,
        #[command(flatten)]
        at: Scope,
    },
    /// List who has roles at a scope and below it
    #[command(after_help = "Examples:\n  tresor role list\n  \
        tresor role list -g rg-1 --assignee 8f3a...")]
    List {
        /// Only those of this principal: object id or application id
        #[arg(long, value_name = "ID")]
        assignee: Option<String>,
        #[command(flatten)]
        at: Scope,
    },
    /// List the roles that there are
    #[command(after_help = "Examples:\n  tresor role definitions\n  \
        tresor role definitions -o json | jq '.[].properties.permissions'")]
    Definitions,
    /// Take a role from a principal
    #[command(after_help = "Examples:\n  \
        tresor role remove --assignee 8f3a... --role Reader -g rg-1\n  \
        tresor role remove --assignee 8f3a... --role Reader -g rg-1 --yes")]
    Remove {
        #[command(flatten)]
        who: Assignee,
        /// Role, by name or id
        #[arg(long, value_name = "NAME|ID")]
        role: String,
        #[command(flatten)]
        at: Scope,
        #[command(flatten)]
        consent: Consent,
    },
    /// Give a vault's identity the roles that backups and restores of a disk need
    GrantVault(GrantArgs),
}

#[derive(Args)]
struct Assignee {
    /// Principal: its object id, or its application id
    #[arg(long, value_name = "ID", visible_alias = "assignee-object-id")]
    assignee: String,
}

#[derive(Args)]
struct Scope {
    /// Scope, as a resource id [default: the subscription]
    #[arg(long, value_name = "ID", conflicts_with = "resource_group")]
    scope: Option<String>,
    /// Scope: this resource group
    #[arg(short = 'g', long, value_name = "GROUP")]
    resource_group: Option<String>,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  \
    tresor role grant-vault -g rg-1 --vault-name v-1 --disk disk-1 \\\n    \
    --snapshot-resource-group rg-snap --target-resource-group rg-2\n  \
    tresor role grant-vault -g rg-1 --vault-name v-1 --target-resource-group rg-3\n\n\
    Disk Backup Reader at the disk, Disk Snapshot Contributor at the snapshot group, and\n\
    Disk Restore Operator at the target group, each only if it is named. What is there already\n\
    stays.")]
struct GrantArgs {
    #[command(flatten)]
    vault: InVault,
    /// Disk that is to be backed up: a name or an id
    #[arg(long, value_name = "NAME|ID")]
    disk: Option<String>,
    /// Resource group of the disk [default: that of the vault]
    #[arg(long, value_name = "GROUP")]
    disk_resource_group: Option<String>,
    /// Resource group that snapshots go to
    #[arg(long, value_name = "GROUP")]
    snapshot_resource_group: Option<String>,
    /// Resource group that disks are restored to
    #[arg(long, value_name = "GROUP")]
    target_resource_group: Option<String>,
}

const COLUMNS: &[Column] = &[
    Column::at("Role", "/properties/roleName"),
    Column::at("Principal", "/properties/principalId"),
    Column::at("Scope", "/properties/scope"),
    Column::at("Id", "/id").wide(),
];

const DEFINITIONS: &[Column] = &[
    Column::at("Name", "/properties/roleName"),
    Column::at("Type", "/properties/type"),
    Column::at("Id", "/name"),
    Column::at("Description", "/properties/description"),
];

pub(super) async fn run(args: RoleArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Assign { who, role, at } => {
            let (scope, role) = (at.id(&session).await?, role_id(&session, &role).await?);
            let principal = who.object_id(&session).await?;
            let (made, _) = assign(&session, &scope, &role, &principal).await?;
            let made = named(&session, vec![made]).await?;
            session.format.one(COLUMNS, made.first().unwrap_or(&Value::Null))
        }
        Action::List { assignee, at } => {
            let scope = at.id(&session).await?;
            let rows = match assignee {
                Some(assignee) => {
                    let principal = Assignee { assignee }.object_id(&session).await?;
                    of_principal(&session, &scope, &principal).await?
                }
                None => session.client.list(&path(&scope), Api::Roles, &[]).await?,
            };
            session.rows(COLUMNS, &named(&session, rows).await?)
        }
        Action::Definitions => {
            let path = definitions(&session).await?;
            session.print_list(DEFINITIONS, &path, Api::Roles, &[]).await
        }
        Action::Remove { who, role, at, consent } => {
            let (scope, role) = (at.id(&session).await?, role_id(&session, &role).await?);
            let principal = who.object_id(&session).await?;
            remove(&session, &scope, &role, &principal, &consent).await
        }
        Action::GrantVault(args) => grant(&session, &args).await,
    }
}

impl Scope {
    async fn id(&self, session: &Session) -> Result<String> {
        match (&self.scope, &self.resource_group) {
            (Some(scope), _) => whole(scope),
            (None, Some(group)) => session.group(group).await,
            (None, None) => session.root().await,
        }
    }
}

impl Assignee {
    /// The object id: an application id is looked up in the directory; an id that the directory
    /// does not know is taken as it is, as identities of vaults may not be listed there.
    async fn object_id(&self, session: &Session) -> Result<String> {
        let Ok(id) = Uuid::try_parse(&self.assignee) else {
            let text = "--assignee takes an object id or an application id, which are GUIDs";
            return Err(Usage::error(text));
        };
        let filter = format!("servicePrincipalNames/any(c:c eq '{id}')");
        let query: &[(&str, &str)] = &[("$filter", &filter)];
        let found = session.client.list("/v1.0/servicePrincipals", Api::Graph, query).await;
        // A caller may have roles to give and no right to read the directory.
        let found = match found {
            Err(error) if error.downcast_ref::<Refusal>().is_none() => return Err(error),
            found => found.unwrap_or_default(),
        };
        let of_application = found.first().and_then(|row| text(row, "/id"));
        Ok(of_application.map_or_else(|| id.to_string(), str::to_owned))
    }
}

fn path(scope: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments")
}

async fn definitions(session: &Session) -> Result<String> {
    Ok(format!("{}/providers/Microsoft.Authorization/roleDefinitions", session.root().await?))
}

/// The id of a role: it may be given as that, as its GUID or by its name.
async fn role_id(session: &Session, role: &str) -> Result<String> {
    let guid = last(role);
    if Uuid::try_parse(guid).is_ok() {
        return Ok(guid.to_owned());
    }
    let filter = format!("roleName eq '{}'", role.replace('\'', "''"));
    let path = definitions(session).await?;
    let found = session.client.list(&path, Api::Roles, &[("$filter", &filter)]).await?;
    let name = found.first().and_then(|row| text(row, "/name"));
    let none = || {
        let message = format!("there is no role '{role}'; `tresor role definitions` lists them");
        Refusal::new(404, "RoleDefinitionDoesNotExist", &message)
    };
    Ok(name.ok_or_else(none)?.to_owned())
}

/// Gives a role; tells whether it was new.
async fn assign(
    session: &Session,
    scope: &str,
    role: &str,
    principal: &str,
) -> Result<(Value, bool)> {
    let id = format!("{}/{}", path(scope), session.client.fresh_id());
    let body = body::role(&session.root().await?, role, principal);
    match session.client.put(&id, Api::Roles, &body).await {
        Ok(made) => Ok((made, true)),
        Err(error) if is_there(&error) => {
            let there = find(session, scope, role, principal).await?;
            Ok((there.ok_or(error)?, false))
        }
        Err(error) => Err(error),
    }
}

fn is_there(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|refusal| refusal.code == "RoleAssignmentExists")
}

async fn of_principal(session: &Session, scope: &str, principal: &str) -> Result<Vec<Value>> {
    let filter = format!("principalId eq '{principal}'");
    session.client.list(&path(scope), Api::Roles, &[("$filter", &filter)]).await
}

/// The assignment of a role at exactly this scope.
async fn find(
    session: &Session,
    scope: &str,
    role: &str,
    principal: &str,
) -> Result<Option<Value>> {
    let rows = of_principal(session, scope, principal).await?;
    let is = |row: &Value| {
        let own = text(row, "/properties/roleDefinitionId").map(last);
        let at = text(row, "/properties/scope");
        own.is_some_and(|own| own.eq_ignore_ascii_case(role))
            && at.is_some_and(|at| at.eq_ignore_ascii_case(scope))
    };
    Ok(rows.into_iter().find(is))
}

async fn remove(
    session: &Session,
    scope: &str,
    role: &str,
    principal: &str,
    consent: &Consent,
) -> Result<()> {
    let Some(found) = find(session, scope, role, principal).await? else {
        let message = format!("{principal} does not have this role at {scope} itself");
        return Err(Refusal::new(404, "RoleAssignmentNotFound", &message).into());
    };
    let id = text(&found, "/id").context("the assignment has no id")?;
    session.remove((id, Api::Roles), "role assignment", consent, false).await
}

/// Assignments with the names of their roles, for tables; JSON stays as it is.
async fn named(session: &Session, mut rows: Vec<Value>) -> Result<Vec<Value>> {
    if session.format == Format::Json {
        return Ok(rows);
    }
    let path = definitions(session).await?;
    let roles = session.client.list(&path, Api::Roles, &[]).await?;
    for row in &mut rows {
        let own = text(row, "/properties/roleDefinitionId").map(last).unwrap_or_default();
        let role = roles.iter().find(|role| text(role, "/name") == Some(own));
        let name = role.and_then(|role| text(role, "/properties/roleName")).unwrap_or(own);
        let name = name.to_owned();
        if let Some(properties) = row.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("roleName".to_owned(), name.into());
        }
    }
    Ok(rows)
}

async fn grant(session: &Session, args: &GrantArgs) -> Result<()> {
    let vault = args.vault.id(session).await?;
    let found = session.client.get(&vault, Api::Protection).await?;
    let principal = text(&found, "/identity/principalId");
    let principal = principal.context("the vault has no identity: it cannot be given roles")?;
    let mut wanted = Vec::new();
    if let Some(disk) = &args.disk {
        let group = args.disk_resource_group.as_deref().or(args.vault.group());
        wanted.push((session.id(group, DISKS, disk).await?, body::DISK_BACKUP_READER));
    }
    if let Some(group) = &args.snapshot_resource_group {
        wanted.push((session.group(group).await?, body::DISK_SNAPSHOT_CONTRIBUTOR));
    }
    if let Some(group) = &args.target_resource_group {
        wanted.push((session.group(group).await?, body::DISK_RESTORE_OPERATOR));
    }
    if wanted.is_empty() {
        return Err(Usage::error(
            "name what the vault is to work with: --disk, --snapshot-resource-group, \
             --target-resource-group",
        ));
    }
    let mut rows = Vec::new();
    for (scope, role) in wanted {
        let (made, new) = assign(session, &scope, role, principal).await?;
        if !new {
            note(format_args!("{scope}: the role was there already"));
        }
        rows.push(made);
    }
    session.rows(COLUMNS, &named(session, rows).await?)
}
