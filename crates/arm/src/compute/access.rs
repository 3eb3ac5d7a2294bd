//! beginGetAccess and endGetAccess, the same for disks and snapshots.

use super::RETRY_AFTER;
use super::disks::location;
use crate::wire::error::ArmError;
use crate::wire::operation::{StatusScope, accept};
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use tresor_core::model::Access;

pub(super) async fn begin(request: Request) -> Result<Reply, ArmError> {
    let root = request.root()?;
    let access = match root.get("access").need_word(&["Read", "Write"])? {
        "Write" => Access::Write,
        _ => Access::Read,
    };
    let duration = root.get("durationInSeconds");
    let seconds = u32::try_from(duration.need_i64()?).unwrap_or_default();
    let format = root.get("fileFormat");
    if format.word(&["VHD", "VHDX"])? == Some("VHDX") {
        return Err(format.invalid("Tresor serves disks as VHD only."));
    }
    let secure = root.get("getSecureVMGuestStateSAS");
    if secure.bool()? == Some(true) {
        return Err(secure.invalid("Tresor keeps no guest state of virtual machines."));
    }
    let location = location(&request).await?;
    let service = &request.app.service;
    let (operation, _) = service.grant_open(&request.caller, &request.id, access, seconds).await?;
    Ok(accept(&request, &operation, StatusScope::Compute, &location, RETRY_AFTER))
}

pub(super) async fn end(request: Request) -> Result<Reply, ArmError> {
    let location = location(&request).await?;
    let operation = request.app.service.grant_close(&request.caller, &request.id).await?;
    Ok(accept(&request, &operation, StatusScope::Compute, &location, RETRY_AFTER))
}
