//! Signed URLs to the bytes of disks and snapshots.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::super::names::InGroup;
use super::super::session::Session;
use crate::client::blob::Access;
use crate::terminal::note;

#[derive(Args)]
pub(crate) struct GrantArgs {
    #[command(flatten)]
    at: InGroup,
    /// What the URL allows
    #[arg(long, value_enum, ignore_case = true, default_value = "Read")]
    access_level: Level,
    /// How long it is good
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    duration_in_seconds: u32,
}

#[derive(Clone, Copy, ValueEnum)]
enum Level {
    #[value(name = "Read")]
    Read,
    #[value(name = "Write")]
    Write,
}

/// Opens access and prints the URL.
pub(in crate::cmd::api) async fn grant(
    session: &Session,
    kind: &str,
    args: GrantArgs,
) -> Result<()> {
    let id = args.at.id(session, kind).await?;
    let access = match args.access_level {
        Level::Read => Access::Read,
        Level::Write => Access::Write,
    };
    let url = session.client.grant(&id, access, args.duration_in_seconds).await?;
    session.format.answer(&json!({"accessSAS": url}), &url)
}

/// Ends all access.
pub(in crate::cmd::api) async fn revoke(session: &Session, kind: &str, at: &InGroup) -> Result<()> {
    let id = at.id(session, kind).await?;
    session.client.revoke(&id).await?;
    note(format_args!("nobody has access to the bytes of '{}' any more", crate::client::last(&id)));
    Ok(())
}
