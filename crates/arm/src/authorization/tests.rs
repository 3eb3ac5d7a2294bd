//! Roles over HTTP: given, seen, taken back, and effective at once.

use crate::site::Site;
use http::{Method, StatusCode};
use serde_json::{Value, json};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const NAME: &str = "11111111-0000-0000-0000-000000000001";
const OTHER: &str = "11111111-0000-0000-0000-000000000002";

fn assignment(site: &Site, role: &str, principal: &str) -> Value {
    let role = site.below(&format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"));
    json!({"properties": {
        "roleDefinitionId": role,
        "principalId": principal,
        "principalType": "serviceprincipal",
    }})
}

#[tokio::test]
async fn a_role_works_at_once_and_below_its_scope() {
    let site = Site::new().await;
    let group = site.group("Rg").await;
    let stranger = site.stranger().await;
    let (token, id) = (site.token_of(&stranger), stranger.object_id.to_string());
    let see = async || site.ask_as(&token, Method::GET, &group, None).await.status;
    assert_eq!(see().await, StatusCode::FORBIDDEN);

    let at = format!("{group}/providers/Microsoft.Authorization/roleAssignments");
    let put = async |name: &str, body: Value| {
        site.ask(Method::PUT, &format!("{at}/{name}"), Some(body)).await
    };
    let made = put(NAME, assignment(&site, READER, &id)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["properties"]["scope"], group);
    assert_eq!(made.body["properties"]["principalType"], "ServicePrincipal");
    assert_eq!(made.body["name"], NAME);
    assert_eq!(see().await, StatusCode::OK);
    let again = put(NAME, assignment(&site, READER, &id)).await;
    assert_eq!(again.status, StatusCode::OK);
    let twice = put(OTHER, assignment(&site, READER, &id)).await;
    assert_eq!((twice.status.as_u16(), twice.code()), (409, "RoleAssignmentExists"));

    let list = async |query: &str| {
        let found = site.ask(Method::GET, &format!("{at}?$filter={query}"), None).await;
        found.body["value"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(list("atScope()").await, 2);
    assert_eq!(list(&format!("principalId%20eq%20'{id}'")).await, 1);
    assert_eq!(list("").await, 2);

    let one = format!("{at}/{NAME}");
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::OK);
    assert_eq!(see().await, StatusCode::FORBIDDEN);
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::NO_CONTENT);
    let absent = site.ask(Method::GET, &one, None).await;
    assert_eq!((absent.status.as_u16(), absent.code()), (404, "RoleAssignmentNotFound"));
}

#[tokio::test]
async fn wrong_assignments_are_refused() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let id = site.stranger().await.object_id.to_string();
    let at = |scope: &str, name: &str| {
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{name}")
    };
    let good = assignment(&site, READER, &id);
    let absent = site.below("/resourceGroups/absent");
    let mut person = good.clone();
    person["properties"]["principalType"] = "Robot".into();
    let mut condition = good.clone();
    condition["properties"]["condition"] = "x".into();
    let cases = [
        (at(&group, "me"), good.clone(), 400, "InvalidRoleAssignmentId"),
        (at(&absent, NAME), good, 404, "ResourceGroupNotFound"),
        (at(&group, NAME), json!({}), 400, "InvalidParameter"),
        (at(&group, NAME), person, 400, "InvalidParameter"),
        (at(&group, NAME), condition, 400, "InvalidParameter"),
        (at(&group, NAME), assignment(&site, READER, "me"), 400, "InvalidParameter"),
        (at(&group, NAME), assignment(&site, NAME, &id), 404, "RoleDefinitionDoesNotExist"),
    ];
    for (path, body, status, code) in cases {
        let answer = site.ask(Method::PUT, &path, Some(body)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{path} {answer:?}");
    }
}

#[tokio::test]
async fn roles_are_found_by_name_and_made() {
    let site = Site::new().await;
    let at = site.below("/providers/Microsoft.Authorization/roleDefinitions");
    let query = format!("{at}?$filter=roleName%20eq%20'Disk%20Backup%20Reader'");
    let found = site.ask(Method::GET, &query, None).await;
    assert_eq!(found.body["value"].as_array().unwrap().len(), 1);
    assert_eq!(found.body["value"][0]["name"], "3e5e47e6-65f7-47ef-90b5-e5dd4d455f24");
    assert_eq!(found.body["value"][0]["properties"]["type"], "BuiltInRole");

    let one = format!("{at}/{NAME}");
    let body = json!({"properties": {
        "roleName": "Snapshot Looker",
        "description": "looks",
        "permissions": [{"actions": ["Microsoft.Compute/snapshots/read"], "notActions": []}],
        "assignableScopes": [site.below("")],
    }});
    let made = site.ask(Method::PUT, &one, Some(body)).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    assert_eq!(made.body["properties"]["type"], "CustomRole");
    let same = site.ask(Method::GET, &one, None).await;
    assert_eq!(same.body, made.body);
    let query = format!("{at}?$filter=type%20eq%20'CustomRole'");
    let custom = site.ask(Method::GET, &query, None).await;
    assert_eq!(custom.body["value"].as_array().unwrap().len(), 1);
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::OK);
    assert_eq!(site.ask(Method::DELETE, &one, None).await.status, StatusCode::NO_CONTENT);
    let built_in = format!("{at}/{READER}");
    assert_eq!(site.ask(Method::DELETE, &built_in, None).await.status, StatusCode::BAD_REQUEST);
}

const ADMINISTRATOR: &str = "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9";

#[tokio::test]
async fn a_role_is_changed_and_used_only_where_it_belongs() {
    let site = Site::new().await;
    let (ours, theirs) = (site.group("ours").await, site.group("theirs").await);
    let stranger = site.stranger().await;
    let (token, id) = (site.token_of(&stranger), stranger.object_id.to_string());
    let given = format!("{theirs}/providers/Microsoft.Authorization/roleAssignments/{NAME}");
    let body = assignment(&site, ADMINISTRATOR, &id);
    assert_eq!(site.ask(Method::PUT, &given, Some(body)).await.status, StatusCode::CREATED);
    let role = |scope: &str, action: &str| {
        json!({"properties": {
            "roleName": "Ours", "permissions": [{"actions": [action]}], "assignableScopes": [scope],
        }})
    };
    let at =
        |group: &str| format!("{group}/providers/Microsoft.Authorization/roleDefinitions/{NAME}");
    let made = site.ask(Method::PUT, &at(&ours), Some(role(&ours, "a/b/read"))).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");

    // An administrator of another group takes it over by the path of that group.
    let taken = site.ask_as(&token, Method::PUT, &at(&theirs), Some(role(&theirs, "*"))).await;
    assert_eq!((taken.status.as_u16(), taken.code()), (403, "AuthorizationFailed"));
    let gone = site.ask_as(&token, Method::DELETE, &at(&theirs), None).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (403, "AuthorizationFailed"));
    assert_eq!(site.ask(Method::GET, &at(&ours), None).await.body, made.body);

    // And it is of no use where it was not made for.
    let used = format!("{theirs}/providers/Microsoft.Authorization/roleAssignments/{OTHER}");
    let refused = site.ask(Method::PUT, &used, Some(assignment(&site, NAME, &id))).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "InvalidParameter"));
    let used = format!("{ours}/providers/Microsoft.Authorization/roleAssignments/{OTHER}");
    let right = site.ask(Method::PUT, &used, Some(assignment(&site, NAME, &id))).await;
    assert_eq!(right.status, StatusCode::CREATED, "{right:?}");
}

/// Spoils the properties of a role.
type Change = fn(&mut Value);

#[tokio::test]
async fn custom_roles_come_back_whole_and_have_bounds() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let one = format!("{group}/providers/Microsoft.Authorization/roleDefinitions/{NAME}");
    let body = |change: fn(&mut Value)| {
        let mut body = json!({"properties": {
            "roleName": "Disk Mover",
            "description": "moves",
            "type": "CustomRole",
            "permissions": [{
                "actions": ["Microsoft.Compute/disks/*"],
                "notActions": ["Microsoft.Compute/disks/delete"],
                "dataActions": ["Microsoft.Compute/disks/download/action"],
                "notDataActions": ["Microsoft.Compute/disks/upload/action"],
            }],
            "assignableScopes": [site.below("/resourceGroups/rg")],
        }});
        change(&mut body["properties"]);
        body
    };
    let put = async |body: Value| site.ask(Method::PUT, &one, Some(body)).await;
    let made = put(body(|_| {})).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    let sent = body(|_| {});
    for member in ["roleName", "description", "type", "permissions", "assignableScopes"] {
        assert_eq!(made.body["properties"][member], sent["properties"][member]);
    }
    let wrong: [(Change, &str); 6] = [
        (|p| p["roleName"] = "x".repeat(129).into(), "properties.roleName"),
        (|p| p["description"] = "x".repeat(1025).into(), "properties.description"),
        (|p| p["permissions"] = json!([{}, {}]), "properties.permissions"),
        (|p| p["permissions"] = json!([{"actions": ["a b"]}]), "properties.permissions[0].actions"),
        (|p| p["assignableScopes"] = json!([]), "properties.assignableScopes"),
        (
            |p| {
                let elsewhere = "/subscriptions/11111111-2222-3333-4444-555555555555";
                p["assignableScopes"] = json!([elsewhere]);
            },
            "properties.assignableScopes",
        ),
    ];
    for (change, target) in wrong {
        let refused = put(body(change)).await;
        let found = (refused.status.as_u16(), refused.code());
        assert_eq!(found, (400, "InvalidParameter"), "{refused:?}");
        assert_eq!(refused.body["error"]["target"], target);
    }
    assert_eq!(site.ask(Method::GET, &one, None).await.body, made.body);
    let list = async |kind: &str| {
        let at = format!("{group}/providers/Microsoft.Authorization/roleDefinitions");
        let found =
            site.ask(Method::GET, &format!("{at}?$filter=type%20eq%20'{kind}'"), None).await;
        found.body["value"].as_array().unwrap().len()
    };
    assert_eq!((list("CustomRole").await, list("Other").await), (1, 0));
    assert!(list("builtinrole").await > 10);
}
