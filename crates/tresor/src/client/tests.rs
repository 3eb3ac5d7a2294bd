//! What the client makes of addresses and errors.

use std::path::PathBuf;

use serde_json::json;

use super::refusal::{Refusal, advice, not_found};
use super::*;

fn site(base_url: &str) -> Result<Site> {
    Site::new(base_url, None)
}

fn client() -> Client {
    let token = Token::new(Zeroizing::new("t".to_owned()), jiff::Timestamp::MAX);
    let site = site("https://localhost:8443/").unwrap();
    Client::new(site, Credential::Kept(token), Env::system()).unwrap()
}

#[test]
fn addresses_are_checked() {
    assert_eq!(site("https://localhost:8443/").unwrap().base_url, "https://localhost:8443");
    for bad in ["", "localhost:8443", "http://localhost:1", "https://h/path", "https://h/?a=b"] {
        let error = site(bad).unwrap_err();
        assert!(Usage::is_in(&error), "{bad}: {error:#}");
    }
}

#[test]
fn urls_have_the_version_of_their_part_and_escaped_filters() {
    let client = client();
    assert_eq!(
        client.url("/a/b", Api::Roles, &[("$filter", "principalId eq 'x'")]),
        "https://localhost:8443/a/b?api-version=2022-04-01&%24filter=principalId+eq+%27x%27"
    );
    assert_eq!(client.url("/v1.0/x", Api::Graph, &[]), "https://localhost:8443/v1.0/x");
}

#[test]
fn a_token_goes_to_the_own_address_only() {
    let url = client().own_url("https://elsewhere.example/s/op==?api-version=1&t=2").unwrap();
    assert_eq!(url, "https://localhost:8443/s/op==?api-version=1&t=2");
    assert!(client().own_url("not a url").is_err());
}

#[test]
fn a_ca_file_that_is_none_is_a_mistake_of_the_caller() {
    let site = Site::new("https://h", Some(PathBuf::from("/nowhere/ca.pem"))).unwrap();
    let error = site.http().unwrap_err();
    assert!(Usage::is_in(&error) && format!("{error:#}").contains("/nowhere/ca.pem"));
}

#[test]
fn every_cause_of_a_refusal_is_told() {
    let error = json!({"code": "A", "message": "whole", "details": [
        {"code": "B", "message": "first"}, {"code": "C", "message": "second"}]});
    let shown = Refusal::read(400, Some(&error)).to_string();
    assert_eq!(shown, "400 A: whole\n  B: first\n  C: second");
    let shown = Refusal::read(0, Some(&json!({"code": "A", "message": "x\u{1b}[2J"}))).to_string();
    assert_eq!(shown, "A: x [2J", "and nothing steers the terminal");
    let shown = Refusal::read(502, None).to_string();
    assert_eq!(shown, "502 Unknown: no error of the service's shape was told");
}

#[test]
fn advice_is_the_services_own() {
    let told = json!({"code": "A", "message": "x", "recommendedAction": ["Do this.", "Do this."]});
    assert_eq!(Refusal::read(0, Some(&told)).advice().as_deref(), Some("Do this."));
    let wrapped = json!({"code": "A", "message": "x", "additionalInfo": [{"info": told}]});
    assert_eq!(Refusal::read(400, Some(&wrapped)).advice().as_deref(), Some("Do this."));
}

#[test]
fn a_missing_right_is_answered_with_the_command_that_gives_it() {
    let message = |action: &str| {
        format!(
            "The client 'c' with object id 'o-1' does not have authorization to perform action \
             '{action}' over scope '/subscriptions/s' or the scope is invalid."
        )
    };
    let advice = |action: &str| {
        let refusal = Refusal::new(403, "AuthorizationFailed", &message(action));
        refusal.advice().unwrap()
    };
    for (action, role) in [
        ("Microsoft.Compute/disks/read", "Reader"),
        ("Microsoft.Compute/disks/write", "Contributor"),
        ("Microsoft.Authorization/roleAssignments/write", "User Access Administrator"),
        ("Microsoft.DataProtection/backupVaults/write", "Backup Contributor"),
    ] {
        let command =
            format!("tresor role assign --assignee o-1 --role '{role}' --scope '/subscriptions/s'");
        assert!(advice(action).ends_with(&command), "{}", advice(action));
    }
    let lacking = |action: &str| {
        let message = format!("{} The role 'Disk Backup Reader' gives it.", message(action));
        json!({"code": "UserErrorMissingRequiredPermissions", "message": message})
    };
    let error = json!({
        "code": "UserErrorMissingRequiredPermissions",
        "message": "Appropriate permissions are missing.",
        "details": [lacking("a/read"), lacking("b/read")],
    });
    let advice = Refusal::read(0, Some(&error)).advice().unwrap();
    assert_eq!(advice.matches("tresor role assign").count(), 1, "one for each role: {advice}");
    assert!(advice.contains("--role 'Disk Backup Reader'"));
}

#[test]
fn what_is_not_there_is_known_under_any_context() {
    let gone = anyhow::Error::new(Refusal::new(404, "ResourceNotFound", "x")).context("GET /a");
    assert!(not_found(&gone));
    assert!(!not_found(&anyhow::Error::new(Refusal::new(403, "x", "y"))));
    assert_eq!(advice(&anyhow::anyhow!("else")), None);
}

#[tokio::test]
async fn a_service_that_is_not_there_is_named_as_such() {
    // A port that nobody listens on: it was ours, and is closed.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let token = Token::new(Zeroizing::new("secret-token".to_owned()), jiff::Timestamp::MAX);
    let site = site(&format!("https://127.0.0.1:{port}")).unwrap();
    let client = Client::new(site, Credential::Kept(token), Env::system()).unwrap();
    let error = client.get("/subscriptions", Api::Subscriptions).await.unwrap_err();
    assert!(advice(&error).unwrap().contains("tresor serve"), "{error:#}");
    assert!(!format!("{error:?}").contains("secret-token"));
}

#[tokio::test]
async fn a_kept_token_that_has_ended_asks_for_a_new_sign_in() {
    let token = Token::new(Zeroizing::new("t".to_owned()), jiff::Timestamp::UNIX_EPOCH);
    let site = site("https://localhost:1").unwrap();
    let client = Client::new(site, Credential::Kept(token), Env::system()).unwrap();
    let error = client.sign_in().await.err().unwrap();
    assert!(advice(&error).unwrap().contains("tresor login"));
}
