//! `tresor snapshot`: snapshots of disks.

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::json;

use super::consent::Consent;
use super::disk::{access, bytes};
use super::names::{DISKS, InGroup, SNAPSHOTS};
use super::output::{Column, Shown, group_of};
use super::session::{Session, Waiting};
use super::tags::Tags;
use crate::client::Api;

#[derive(Args)]
pub(crate) struct SnapshotArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a snapshot of a disk
    #[command(after_help = "Examples:\n  \
        tresor snapshot create -g rg-1 -n snap-1 --source disk-1\n  \
        tresor snapshot create -g rg-2 -n snap-1 --source /subscriptions/.../disks/disk-1")]
    Create {
        #[command(flatten)]
        at: InGroup,
        /// The disk: a name in the same group, or an id
        #[arg(long, value_name = "NAME|ID")]
        source: String,
        /// Location [default: that of the group]
        #[arg(short, long)]
        location: Option<String>,
        /// Whether it can be compared with others of the disk
        #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
        incremental: bool,
        #[command(flatten)]
        tags: Tags,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Show a snapshot
    #[command(after_help = "Examples:\n  tresor snapshot show -g rg-1 -n snap-1\n  \
        tresor snapshot show -g rg-1 -n snap-1 -o json | jq .properties.diskSizeBytes")]
    Show(InGroup),
    /// List snapshots, of one group or of all
    #[command(after_help = "Examples:\n  tresor snapshot list\n  tresor snapshot list -g rg-1")]
    List {
        /// Resource group [default: all]
        #[arg(short = 'g', long, value_name = "GROUP")]
        resource_group: Option<String>,
    },
    /// Delete a snapshot
    #[command(after_help = "Examples:\n  tresor snapshot delete -g rg-1 -n snap-1\n  \
        tresor snapshot delete -g rg-1 -n snap-1 --yes")]
    Delete {
        #[command(flatten)]
        at: InGroup,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Give a signed URL to a snapshot's bytes; whoever has it can use it
    #[command(after_help = "Examples:\n  tresor snapshot grant-access -g rg-1 -n snap-1\n  \
        tresor snapshot grant-access -g rg-1 -n snap-1 --duration-in-seconds 600 -o tsv")]
    GrantAccess(access::GrantArgs),
    /// End all access to a snapshot's bytes
    #[command(after_help = "Examples:\n  tresor snapshot revoke-access -g rg-1 -n snap-1\n  \
        tresor snapshot revoke-access -n /subscriptions/.../snapshots/snap-1")]
    RevokeAccess(InGroup),
    /// Download a snapshot as a raw image
    Download(bytes::DownloadArgs),
}

const COLUMNS: &[Column] = &[
    Column::at("Name", "/name"),
    Column::group("ResourceGroup", "/id"),
    Column::at("Location", "/location"),
    Column::size("Size", "/properties/diskSizeBytes"),
    Column::time("Created", "/properties/timeCreated"),
    Column::name("Disk", "/properties/creationData/sourceResourceId"),
    Column::at("Incremental", "/properties/incremental").wide(),
    Column::at("State", "/properties/provisioningState").wide(),
    Column::pairs("Tags", "/tags").wide(),
    Column::at("Id", "/id").wide(),
];

pub(super) async fn run(args: SnapshotArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Create { at, source, location, incremental, tags, waiting } => {
            let id = at.id(&session, SNAPSHOTS).await?;
            let source = session.id(group_of(&id), DISKS, &source).await?;
            let location = session.location(location.as_deref(), &id).await?;
            let mut body = json!({
                "location": location,
                "sku": {"name": "Standard_LRS"},
                "properties": {
                    "incremental": incremental,
                    "creationData": {"createOption": "Copy", "sourceResourceId": source},
                },
            });
            tags.put_into(&mut body)?;
            let at = (&*id, Api::Compute);
            session.change(Method::PUT, at, &body, COLUMNS, waiting.no_wait).await
        }
        Action::Show(at) => {
            session.print_one(COLUMNS, &at.id(&session, SNAPSHOTS).await?, Api::Compute).await
        }
        Action::List { resource_group } => {
            let path = session.within(resource_group.as_deref(), SNAPSHOTS).await?;
            session.print_list(COLUMNS, &path, Api::Compute, &[]).await
        }
        Action::Delete { at, consent, waiting } => {
            let id = at.id(&session, SNAPSHOTS).await?;
            session.remove((&id, Api::Compute), "snapshot", &consent, waiting.no_wait).await
        }
        Action::GrantAccess(args) => access::grant(&session, SNAPSHOTS, args).await,
        Action::RevokeAccess(at) => access::revoke(&session, SNAPSHOTS, &at).await,
        Action::Download(args) => bytes::download(&session, SNAPSHOTS, args).await,
    }
}
