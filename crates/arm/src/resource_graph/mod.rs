//! Microsoft.ResourceGraph: the two lists that `az dataprotection` asks for, and nothing else.
//!
//! Resource Graph takes queries in a language of its own (KQL). Two of them are built by the
//! commands `az dataprotection backup-instance list-from-resourcegraph` and `job
//! list-from-resourcegraph`; they are recognised stage by stage. Any other query is refused in
//! Resource Graph's words: guessing at a query would show wrong rows as if they were right.

mod query;
mod row;
#[cfg(test)]
mod tests;

use crate::table::{Action, Route, handler};
use crate::types::time::second;
use crate::wire::error::ArmError;
use crate::wire::paging;
use crate::wire::reply::Reply;
use crate::wire::request::Request;
use crate::wire::version::Versions;
use http::{HeaderName, Method, StatusCode};
use query::Query;
use serde_json::{Value, json};
use uuid::Uuid;

/// Rows of a page when the client does not say, and at most.
const ROWS_MAX: i64 = 1000;
/// Bytes of a query at most.
const QUERY_MAX: usize = 64 << 10;

/// The routes of this module.
pub(crate) fn routes() -> Vec<Route> {
    vec![Route {
        method: Method::POST,
        path: "/providers/Microsoft.ResourceGraph/resources",
        versions: Versions::AnyDate,
        since: None,
        action: Action::Open("shows a caller the rows that they may read"),
        handler: handler!(resources),
        name: "ResourceGraph_Resources",
    }]
}

/// What a request asks for.
struct Asked {
    query: Query,
    /// Whether it asks about our subscription.
    ours: bool,
    top: usize,
    skip: usize,
    after: Option<String>,
    /// What a page's token is bound to.
    bound: String,
}

/// Why a request is not answered: an error of the wire, or a query that is not understood.
enum Refusal {
    Wire(ArmError),
    Query(String),
}

impl From<ArmError> for Refusal {
    fn from(error: ArmError) -> Self {
        Self::Wire(error)
    }
}

async fn resources(request: Request) -> Result<Reply, ArmError> {
    let asked = match read(&request) {
        Ok(asked) => asked,
        Err(Refusal::Wire(error)) => return Err(error),
        Err(Refusal::Query(why)) => return Ok(refused(&request, &why)),
    };
    let page = if asked.ours { row::page(&request, &asked).await? } else { row::Page::default() };
    let mut body = json!({
        "totalRecords": page.total,
        "count": page.rows.len(),
        "data": page.rows,
        "facets": [],
        "resultTruncated": if page.truncated { "true" } else { "false" },
    });
    let token = page.next.and_then(|next| paging::seal_body(&request, next, &asked.bound));
    if let (Some(token), Some(members)) = (token, body.as_object_mut()) {
        members.insert("$skipToken".into(), token.into());
    }
    Ok(Reply::ok(body))
}

fn read(request: &Request) -> Result<Asked, Refusal> {
    let body = request.root()?;
    let text = body.get("query").need_str()?;
    if text.len() > QUERY_MAX {
        return Err(Refusal::Query(format!("A query has at most {QUERY_MAX} bytes.")));
    }
    let query = query::parse(text).map_err(Refusal::Query)?;
    if body.get("facets").items()?.is_some_and(|facets| !facets.is_empty()) {
        return Err(body.get("facets").invalid("facets are not supported.").into());
    }
    let groups = body.get("managementGroups");
    if groups.items()?.is_some_and(|groups| !groups.is_empty()) {
        return Err(groups.invalid("management groups do not exist here.").into());
    }
    let own = request.app.service.subscription();
    let mut ours = true;
    if let Some(named) = body.get("subscriptions").items()?.filter(|named| !named.is_empty()) {
        ours = false;
        for id in named {
            ours |= Uuid::try_parse(id.need_str()?).is_ok_and(|id| id == own);
        }
    }
    let options = body.get("options");
    options.object()?;
    if options.get("resultFormat").word(&["objectArray", "table"])? == Some("table") {
        return Err(options.get("resultFormat").invalid("use objectArray.").into());
    }
    let number = |name: &str, default: i64, least: i64| {
        let field = options.get(name);
        match field.i64()?.unwrap_or(default) {
            number if number >= least => Ok(usize::try_from(number).unwrap_or(usize::MAX)),
            _ => Err(field.invalid(format!("must be {least} or more."))),
        }
    };
    let bound = format!("{text}\n{ours}");
    let token = options.get("$skipToken").str()?.filter(|token| !token.is_empty());
    let after = token.map(|token| paging::open_body(request, token, &bound)).transpose()?;
    Ok(Asked {
        query,
        ours,
        top: number("$top", ROWS_MAX, 1)?.min(ROWS_MAX as usize),
        // The rows to leave out come before the first page.
        skip: if after.is_some() { 0 } else { number("$skip", 0, 0)? },
        after,
        bound,
    })
}

/// The refusal of a query.
fn refused(request: &Request, why: &str) -> Reply {
    let (now, correlation) = (request.app.service.env().real(), request.caller.correlation);
    let body: Value = json!({ "error": {
        "code": "BadRequest",
        "message": format!(
            "Please provide below info when asking for support: timestamp = {}, correlationId = \
             {correlation}.",
            second(now)
        ),
        "details": [
            {
                "code": "InvalidQuery",
                "message": "Query is invalid. Please refer to the documentation for the Azure \
                            Resource Graph service and fix the error before retrying.",
            },
            {
                "code": "UnsupportedQuery",
                "message": format!(
                    "{why} Only the queries of 'az dataprotection backup-instance \
                     list-from-resourcegraph' and 'az dataprotection job list-from-resourcegraph' \
                     are served here."
                ),
            },
        ],
    }});
    let code = HeaderName::from_static("x-ms-error-code");
    Reply::new(StatusCode::BAD_REQUEST, body).header(code, "BadRequest")
}
