//! Disks and snapshots over HTTP, on a whole service.

use crate::site::{Answered, HOST, Site};
use http::Method;
use serde_json::{Value, json};

fn local(url: &str) -> String {
    url.strip_prefix(&format!("https://{HOST}")).unwrap_or_else(|| panic!("'{url}'")).to_owned()
}

/// Follows an operation to its end: the status document and the bare result.
async fn follow(site: &Site, first: &Answered) -> (Value, Answered) {
    assert_eq!(first.status, 202, "{first:?}");
    assert_eq!(first.header("retry-after"), "1");
    let url = local(first.header("azure-asyncoperation"));
    assert!(url.contains("/providers/Microsoft.Compute/locations/westus/DiskOperations/"), "{url}");
    let location = local(first.header("location"));
    assert!(location.contains("monitor=true"), "{location}");
    loop {
        let got = site.ask(Method::GET, &url, None).await;
        assert_eq!(got.status, 200, "{got:?}");
        if got.body["status"] != "InProgress" {
            return (got.body, site.ask(Method::GET, &location, None).await);
        }
    }
}

async fn put(site: &Site, path: &str, body: Value) -> Value {
    let first = site.ask(Method::PUT, path, Some(body)).await;
    assert_eq!(first.body["properties"]["provisioningState"], "Updating", "{first:?}");
    let (status, result) = follow(site, &first).await;
    assert_eq!(status["status"], "Succeeded", "{status}");
    assert_eq!(status["properties"]["output"], result.body);
    result.body
}

fn empty(size: u64) -> Value {
    json!({ "location": "westus", "properties": {
        "creationData": { "createOption": "Empty" }, "diskSizeGB": size,
    }})
}

#[tokio::test]
async fn a_disk_from_beginning_to_end() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let path = format!("{group}/providers/Microsoft.Compute/disks/Disk1");
    let made = put(&site, &path, empty(1)).await;
    let got = site.ask(Method::GET, &path.to_lowercase(), None).await;
    assert_eq!((got.status.as_u16(), &got.body), (200, &made));
    assert_eq!((&got.body["id"], &got.body["name"]), (&json!(path), &json!("Disk1")));

    // What was read, written back, is what was read.
    let again = put(&site, &path, got.body.clone()).await;
    assert_eq!(again, made);
    let patch = json!({ "tags": { "a": "b" }, "properties": { "diskSizeGB": 2 } });
    let first = site.ask(Method::PATCH, &path, Some(patch)).await;
    let (_, grown) = follow(&site, &first).await;
    assert_eq!(grown.body["properties"]["diskSizeGB"], 2);
    assert_eq!(grown.body["tags"], json!({ "a": "b" }));
    let shrunk = json!({ "properties": { "diskSizeGB": 1 } });
    let refused = site.ask(Method::PATCH, &path, Some(shrunk)).await;
    assert_eq!((refused.status.as_u16(), refused.code()), (400, "InvalidParameter"));

    for list in [
        format!("{group}/providers/Microsoft.Compute/disks"),
        site.below("/providers/Microsoft.Compute/disks"),
    ] {
        let page = site.ask(Method::GET, &list, None).await.body;
        assert_eq!(page, json!({ "value": [grown.body], "nextLink": null }));
    }
    let first = site.ask(Method::DELETE, &path, None).await;
    assert_eq!(follow(&site, &first).await.0["status"], "Succeeded");
    assert_eq!(site.ask(Method::DELETE, &path, None).await.status, 204);
    let gone = site.ask(Method::GET, &path, None).await;
    assert_eq!((gone.status.as_u16(), gone.code()), (404, "ResourceNotFound"));
}

#[tokio::test]
async fn a_snapshot_and_a_disk_made_of_it() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let here = format!("{group}/providers/Microsoft.Compute");
    let disk = put(&site, &format!("{here}/disks/one"), empty(1)).await;
    let body = json!({ "location": "westus", "properties": {
        "incremental": true,
        "creationData": { "createOption": "Copy", "sourceResourceId": disk["id"] },
    }});
    let path = format!("{here}/snapshots/s1");
    let taken = put(&site, &path, body).await;
    assert_eq!(taken["properties"]["incremental"], true);
    let source = &taken["properties"]["creationData"]["sourceUniqueId"];
    assert_eq!(source, &disk["properties"]["uniqueId"]);

    let body = json!({ "location": "westus", "properties": { "creationData": {
        "createOption": "Copy", "sourceResourceId": path,
    }}});
    let copy = put(&site, &format!("{here}/disks/two"), body).await;
    assert_eq!(copy["properties"]["provisioningState"], "Succeeded");
    assert_eq!(copy["properties"]["diskSizeBytes"], 1 << 30);

    let patch = json!({ "tags": { "k": "v" } });
    let first = site.ask(Method::PATCH, &path, Some(patch)).await;
    assert_eq!(follow(&site, &first).await.1.body["tags"]["k"], "v");
    let page = site.ask(Method::GET, &format!("{here}/snapshots"), None).await.body;
    assert_eq!(page["value"].as_array().unwrap().len(), 1);
    let first = site.ask(Method::DELETE, &path, None).await;
    assert_eq!(follow(&site, &first).await.0["status"], "Succeeded");
    assert_eq!(site.ask(Method::GET, &path, None).await.status, 404);
}

#[tokio::test]
async fn wrong_requests_make_nothing() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let here = format!("{group}/providers/Microsoft.Compute");
    let disk = |name: &str| format!("{here}/disks/{name}");
    let mut elsewhere = empty(1);
    elsewhere["location"] = json!("mars");
    let nowhere = site.below("/resourceGroups/none/providers/Microsoft.Compute/disks/d");
    let copy = json!({ "location": "westus", "properties": { "creationData": {
        "createOption": "Copy", "sourceResourceId": disk("none"),
    }}});
    let cases = [
        (disk("-bad"), empty(1), 400, "InvalidParameter", "name"),
        (disk("d"), elsewhere, 400, "InvalidParameter", "location"),
        (disk("d"), copy, 404, "ResourceNotFound", "none"),
        (nowhere, empty(1), 404, "ResourceGroupNotFound", "none"),
    ];
    for (path, body, status, code, told) in cases {
        let got = site.ask(Method::PUT, &path, Some(body)).await;
        assert_eq!((got.status.as_u16(), got.code()), (status, code), "{got:?}");
        assert!(got.body["error"]["message"].as_str().unwrap().contains(told), "{got:?}");
    }
    let page = site.ask(Method::GET, &format!("{here}/disks"), None).await.body;
    assert_eq!(page["value"], json!([]));
}

#[tokio::test]
async fn a_reader_follows_an_operation_and_gets_no_signed_url() {
    let site = Site::new().await;
    let group = site.group("rg").await;
    let path = format!("{group}/providers/Microsoft.Compute/disks/one");
    put(&site, &path, empty(1)).await;
    let body = json!({ "access": "Read", "durationInSeconds": 60 });
    let begun = site.ask(Method::POST, &format!("{path}/beginGetAccess"), Some(body)).await;
    let (status, location) =
        (local(begun.header("azure-asyncoperation")), local(begun.header("location")));
    let stranger = site.stranger().await;
    let token = site.token_of(&stranger);
    let give = async |role: &str, name: u8| {
        let at = format!(
            "{group}/providers/Microsoft.Authorization/roleAssignments\
             /11111111-0000-0000-0000-00000000000{name}"
        );
        let body = json!({ "properties": {
            "roleDefinitionId": format!("/x/{role}"), "principalId": stranger.object_id,
        }});
        assert_eq!(site.ask(Method::PUT, &at, Some(body)).await.status, 201);
    };
    give("acdd72a7-3385-48ef-bd42-f606fba81ae7", 1).await;
    assert_eq!(site.ask_as(&token, Method::GET, &path, None).await.status, 200);
    for url in [&status, &location] {
        let refused = site.ask_as(&token, Method::GET, url, None).await;
        assert_eq!((refused.status.as_u16(), refused.code()), (403, "AuthorizationFailed"));
        assert!(!refused.body.to_string().contains("sig="), "{refused:?}");
    }
    let own = site.ask(Method::GET, &location, None).await;
    assert!(own.body["accessSAS"].as_str().unwrap().contains("sig="), "{own:?}");
    // Whoever could open the disk gets what opening it gives.
    give("3e5e47e6-65f7-47ef-90b5-e5dd4d455f24", 2).await;
    let allowed = site.ask_as(&token, Method::GET, &location, None).await;
    assert_eq!(allowed.body, own.body);
}
