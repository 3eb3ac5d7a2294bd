//! Microsoft.Insights, as far as it reads the audit trail: the activity log.
//!
//! The list of a subscription shows what was asked about it, the list of the tenant what was asked
//! about nothing in particular: tokens, and requests that were refused before it was known.

use crate::table::{Action, Route, handler};
use crate::types::event;
use crate::wire::error::ArmError;
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use http::Method;
use serde_json::Value;
use tresor_core::catalogue::EventFilter;

const READ: &str = "Microsoft.Insights/eventtypes/values/read";

macro_rules! values {
    ($head:literal) => {
        concat!($head, "/providers/Microsoft.Insights/eventtypes/management/values")
    };
}

/// The provider's routes.
pub(crate) fn routes() -> Vec<Route> {
    let get = |path, name| Route {
        method: Method::GET,
        path,
        versions: Versions::AnyDate,
        since: None,
        action: Action::Rbac(READ),
        handler: handler!(list),
        name,
    };
    vec![
        get(values!("/subscriptions/{subscriptionId}"), "ActivityLogs_List"),
        get(values!(""), "TenantActivityLogs_List"),
    ]
}

async fn list(request: Request) -> Result<Reply, ArmError> {
    let text = paging::filter(&request)?.unwrap_or_default();
    let service = &request.app.service;
    let of_subscription = !request.params.get("subscriptionId").is_empty();
    let filter = EventFilter {
        subscription: of_subscription.then(|| service.subscription()),
        after: paging::cursor(&request)?,
        limit: paging::limit(&request)?,
        ..event::filter(&text)?
    };
    let page = service.events(&filter).await?;
    let select = request.query.get("$select").unwrap_or_default();
    let (tenant, rows) = (service.tenant(), page.rows.iter());
    let rows = rows.map(|row| event::selected(event::json(row, tenant), select)).collect();
    let mut answer = paging::page(&request, rows, page.after)?;
    // A client follows the link as it is, so it must go on to select.
    if let Some(Value::String(link)) = answer.get_mut("nextLink")
        && !select.is_empty()
    {
        let escaped: String = form_urlencoded::byte_serialize(select.as_bytes()).collect();
        link.push_str("&$select=");
        link.push_str(&escaped);
    }
    Ok(Reply::ok(answer))
}

#[cfg(test)]
mod tests;
