//! `tresor disk`: disks, and the bytes in them.

pub(super) mod access;
pub(super) mod bytes;

use anyhow::Result;
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::consent::Consent;
use super::names::{DISKS, InGroup, SNAPSHOTS};
use super::output::{Column, Shown};
use super::session::{Session, Waiting};
use super::tags::Tags;
use crate::client::Api;
use crate::usage::Usage;

#[derive(Args)]
pub(crate) struct DiskArgs {
    #[command(flatten)]
    shown: Shown,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a disk: empty, for an upload, or from another disk, a snapshot or an image
    Create(CreateArgs),
    /// Show a disk
    #[command(after_help = "Examples:\n  tresor disk show -g rg-1 -n disk-1\n  \
        tresor disk show -g rg-1 -n disk-1 -o json | jq -r .id")]
    Show(InGroup),
    /// List disks, of one group or of all
    #[command(after_help = "Examples:\n  tresor disk list\n  tresor disk list -g rg-1 -o json")]
    List {
        /// Resource group [default: all]
        #[arg(short = 'g', long, value_name = "GROUP")]
        resource_group: Option<String>,
    },
    /// Change size, storage class or tags of a disk
    Update(UpdateArgs),
    /// Delete a disk and its bytes
    #[command(after_help = "Examples:\n  tresor disk delete -g rg-1 -n disk-1\n  \
        tresor disk delete -g rg-1 -n disk-1 --yes --no-wait")]
    Delete {
        #[command(flatten)]
        at: InGroup,
        #[command(flatten)]
        consent: Consent,
        #[command(flatten)]
        waiting: Waiting,
    },
    /// Give a signed URL to a disk's bytes; whoever has it can use it
    #[command(after_help = "Examples:\n  tresor disk grant-access -g rg-1 -n disk-1 -o tsv\n  \
        tresor disk grant-access -g rg-1 -n disk-1 --access-level Write --duration-in-seconds 600")]
    GrantAccess(access::GrantArgs),
    /// End all access to a disk's bytes
    #[command(after_help = "Examples:\n  tresor disk revoke-access -g rg-1 -n disk-1\n  \
        tresor disk revoke-access -n /subscriptions/.../disks/disk-1")]
    RevokeAccess(InGroup),
    /// Upload a raw image into a new disk, or over one with --overwrite
    Upload(bytes::UploadArgs),
    /// Download a disk as a raw image
    Download(bytes::DownloadArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tresor disk create -g rg-1 -n disk-1 --size-gb 8\n  \
    tresor disk create -g rg-1 -n copy-1 --source snapshot-1")]
struct CreateArgs {
    #[command(flatten)]
    at: InGroup,
    /// Location [default: that of the group]
    #[arg(short, long)]
    location: Option<String>,
    /// Size in GiB
    #[arg(short = 'z', long, value_name = "GIB")]
    size_gb: Option<u64>,
    /// Make it from this snapshot or disk: a name in the same group, or an id
    #[arg(long, value_name = "NAME|ID", conflicts_with_all = ["upload_size_bytes", "source_uri"])]
    source: Option<String>,
    /// Make it wait for an upload of so many bytes, the 512 of a VHD's footer among them
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["size_gb", "source_uri"])]
    upload_size_bytes: Option<u64>,
    /// Make it from a raw image in a folder that the service may import from (file://...)
    #[arg(long, value_name = "URI")]
    source_uri: Option<String>,
    /// Storage class
    #[arg(long)]
    sku: Option<String>,
    #[command(flatten)]
    tags: Tags,
    #[command(flatten)]
    waiting: Waiting,
}

#[derive(Args)]
#[command(after_help = "Examples:\n  tresor disk update -g rg-1 -n disk-1 --size-gb 16\n  \
    tresor disk update -g rg-1 -n disk-1 --tags team=a env=test")]
struct UpdateArgs {
    #[command(flatten)]
    at: InGroup,
    /// New size in GiB; a disk can only grow
    #[arg(short = 'z', long, value_name = "GIB")]
    size_gb: Option<u64>,
    /// Storage class
    #[arg(long)]
    sku: Option<String>,
    #[command(flatten)]
    tags: Tags,
    #[command(flatten)]
    waiting: Waiting,
}

pub(super) const COLUMNS: &[Column] = &[
    Column::at("Name", "/name"),
    Column::group("ResourceGroup", "/id"),
    Column::at("Location", "/location"),
    Column::size("Size", "/properties/diskSizeBytes"),
    Column::at("State", "/properties/diskState"),
    Column::at("Provisioning", "/properties/provisioningState"),
    Column::at("Sku", "/sku/name").wide(),
    Column::time("Created", "/properties/timeCreated").wide(),
    Column::at("CreatedBy", "/properties/creationData/createOption").wide(),
    Column::at("Source", "/properties/creationData/sourceResourceId").wide(),
    Column::pairs("Tags", "/tags").wide(),
    Column::at("Id", "/id").wide(),
];

pub(super) async fn run(args: DiskArgs) -> Result<()> {
    let session = Session::open(args.shown.output)?;
    match args.action {
        Action::Create(args) => create(&session, args).await,
        Action::Show(at) => {
            session.print_one(COLUMNS, &at.id(&session, DISKS).await?, Api::Compute).await
        }
        Action::List { resource_group } => {
            let path = session.within(resource_group.as_deref(), DISKS).await?;
            session.print_list(COLUMNS, &path, Api::Compute, &[]).await
        }
        Action::Update(args) => update(&session, args).await,
        Action::Delete { at, consent, waiting } => {
            let id = at.id(&session, DISKS).await?;
            session.remove((&id, Api::Compute), "disk", &consent, waiting.no_wait).await
        }
        Action::GrantAccess(args) => access::grant(&session, DISKS, args).await,
        Action::RevokeAccess(at) => access::revoke(&session, DISKS, &at).await,
        Action::Upload(args) => bytes::upload(&session, args).await,
        Action::Download(args) => bytes::download(&session, DISKS, args).await,
    }
}

async fn create(session: &Session, args: CreateArgs) -> Result<()> {
    let id = args.at.id(session, DISKS).await?;
    let creation = match (&args.source, args.upload_size_bytes, &args.source_uri, args.size_gb) {
        (Some(source), ..) => {
            let source = source_id(session, &id, source).await?;
            json!({"createOption": "Copy", "sourceResourceId": source})
        }
        (_, Some(bytes), ..) => json!({"createOption": "Upload", "uploadSizeBytes": bytes}),
        (_, _, Some(uri), _) => json!({"createOption": "Import", "sourceUri": uri}),
        (.., Some(_)) => json!({"createOption": "Empty"}),
        _ => {
            return Err(Usage::error(
                "give --size-gb, --source, --source-uri or --upload-size-bytes",
            ));
        }
    };
    let location = session.location(args.location.as_deref(), &id).await?;
    let mut body = json!({"location": location, "properties": {"creationData": creation}});
    settle(&mut body, args.size_gb, args.sku.as_deref());
    args.tags.put_into(&mut body)?;
    let at = (&*id, Api::Compute);
    session.change(Method::PUT, at, &body, COLUMNS, args.waiting.no_wait).await
}

async fn update(session: &Session, args: UpdateArgs) -> Result<()> {
    let id = args.at.id(session, DISKS).await?;
    let mut body = json!({});
    settle(&mut body, args.size_gb, args.sku.as_deref());
    args.tags.put_into(&mut body)?;
    let at = (&*id, Api::Compute);
    session.change(Method::PATCH, at, &body, COLUMNS, args.waiting.no_wait).await
}

/// Puts size and storage class into a body, as far as they are given.
fn settle(body: &mut Value, size_gb: Option<u64>, sku: Option<&str>) {
    let Some(body) = body.as_object_mut() else {
        return;
    };
    if let Some(size) = size_gb {
        let properties = body.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert("diskSizeGB".to_owned(), size.into());
        }
    }
    if let Some(sku) = sku {
        body.insert("sku".to_owned(), json!({"name": sku}));
    }
}

/// The id of a source: a name is that of a snapshot in the same group, else of a disk.
async fn source_id(session: &Session, target: &str, source: &str) -> Result<String> {
    let group = super::output::group_of(target);
    let snapshot = session.id(group, SNAPSHOTS, source).await?;
    if source.starts_with('/') || session.client.find(&snapshot, Api::Compute).await?.is_some() {
        return Ok(snapshot);
    }
    session.id(group, DISKS, source).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_sent() {
        let mut body = json!({});
        settle(&mut body, None, None);
        assert_eq!(body, json!({}));
        settle(&mut body, Some(4), Some("Premium_LRS"));
        let whole = json!({"properties": {"diskSizeGB": 4}, "sku": {"name": "Premium_LRS"}});
        assert_eq!(body, whole);
        let mut body = json!({"properties": {"creationData": {}}});
        settle(&mut body, Some(1), None);
        assert_eq!(body, json!({"properties": {"creationData": {}, "diskSizeGB": 1}}));
    }
}
