//! The command line as a client of a running service: a disk's whole journey with nothing but
//! `tresor`, what it says when something is wrong, and where it leaves secrets.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod rig;
mod service;

use std::os::unix::fs::PermissionsExt;

use rig::{disk, noise};
use service::{Service, error, failed, read};

const VAULT: [&str; 4] = ["-g", "rg", "--vault-name", "vault"];

/// A command in the vault.
fn on<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, &VAULT, more].concat()
}

/// Groups, an uploaded disk, a vault and a policy; the vault's identity has no right yet.
fn prepared(bytes: &[u8]) -> Service {
    let service = Service::start();
    service.says(&["login", "--data", &service.data()]);
    for group in ["rg", "snap", "target"] {
        service.says(&["group", "create", "-n", group]);
    }
    std::fs::write(service.path("image"), bytes).unwrap();
    service.says(&["disk", "upload", "-g", "rg", "-n", "d", "--file", "image"]);
    service.says(&["vault", "create", "-g", "rg", "-n", "vault"]);
    let flags = ["-n", "pol-1", "--every", "4h", "--keep", "7d", "--weekly", "P12W"];
    let policy = service.json(&on(&["policy", "create"], &flags));
    let rules = policy["properties"]["policyRules"].as_array().unwrap();
    let names: Vec<_> = rules.iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["BackupHourly", "Default", "Weekly"]);
    service
}

#[test]
fn a_disk_is_protected_backed_up_and_restored() {
    let bytes = disk(1);
    let service = prepared(&bytes);
    let shown = service.json(&["disk", "show", "-g", "rg", "-n", "d"]);
    assert_eq!(shown["properties"]["diskSizeBytes"], 5 << 20 | 2048);

    // What is missing is named with the command that gives it, and that command does.
    let what = ["--disk", "d", "--policy-name", "pol-1", "--snapshot-resource-group", "snap"];
    let said = service.fails(1, &on(&["instance", "validate"], &what));
    assert!(said.contains("UserErrorMissingRequiredPermissions"), "{said}");
    assert_eq!(said.matches("tresor role assign --assignee").count(), 2, "{said}");
    for line in said.lines().filter(|line| line.trim().starts_with("tresor role assign")) {
        let mut shell = std::process::Command::new("sh");
        shell.arg("-c").arg(line.trim().replacen("tresor", "\"$PROGRAM\"", 1));
        shell.env("PROGRAM", rig::binary()).env("XDG_CONFIG_HOME", service.path("config"));
        let done = shell.output().unwrap();
        assert!(done.status.success(), "{line}: {}", error(&done));
    }
    service.says(&on(&["instance", "validate"], &what));
    let roles = ["--disk", "d", "--snapshot-resource-group", "snap"];
    let roles = [&roles[..], &["--target-resource-group", "target"]].concat();
    let granted = service.json(&on(&["role", "grant-vault"], &roles));
    assert_eq!(granted.as_array().unwrap().len(), 3);

    let made = service.json(&on(&["instance", "protect"], &what));
    assert_eq!(made["properties"]["currentProtectionState"], "ProtectionConfigured");
    let job = service.json(&on(&["backup"], &["-n", "d"]));
    assert_eq!(job["properties"]["status"], "Completed");

    // Without waiting: the job's id, and a command that waits for it.
    let begun = service.says(&on(&["backup"], &["-n", "d", "--no-wait", "-o", "tsv"]));
    let waited = service.run(&["job", "wait", "-n", begun.trim()]);
    assert!(waited.status.success(), "{}", error(&waited));
    assert!(String::from_utf8_lossy(&waited.stdout).contains("Completed"));
    let points = service.says(&on(&["point", "list"], &["-n", "d", "-o", "tsv"]));
    assert_eq!(points.lines().count(), 2);
    let first = points.lines().last().unwrap().split('\t').next().unwrap();
    let jobs = service.json(&on(&["job", "list"], &[]));
    assert_eq!(jobs.as_array().unwrap().len(), 2);
    let snapshots = service.json(&["snapshot", "list", "-g", "snap"]);
    assert_eq!(snapshots.as_array().unwrap().len(), 2);

    // The disk changes; the first point does not.
    let other = noise(7, bytes.len());
    std::fs::write(service.path("image"), &other).unwrap();
    let upload = ["disk", "upload", "-g", "rg", "-n", "d", "--file", "image"];
    let said = service.fails(2, &upload);
    assert!(said.contains("--overwrite"), "{said}");
    service.says(&[&upload[..], &["--overwrite"]].concat());
    let to = ["-n", "d", "--target-resource-group", "target", "--target-disk-name", "back"];
    let of_first = [&to[..], &["--recovery-point-id", first]].concat();
    service.says(&on(&["restore", "validate"], &of_first));
    let job = service.json(&on(&["restore", "start"], &of_first));
    assert_eq!(job["properties"]["operation"], "Restore");
    for (group, name, expected) in [("target", "back", &bytes), ("rg", "d", &other)] {
        let file = format!("{name}.img");
        service.says(&["disk", "download", "-g", group, "-n", name, "--file", &file]);
        assert!(read(&service.path(&file)) == *expected, "{name} differs");
    }
    let said = service.fails(2, &["disk", "download", "-g", "rg", "-n", "d", "--file", "d.img"]);
    assert!(said.contains("--force"), "{said}");

    // A restore never writes over a disk.
    let said = service.fails(1, &on(&["restore", "start"], &of_first));
    assert!(said.contains("UserErrorSameNameDiskAlreadyExists"), "{said}");
}

#[test]
fn instances_pause_change_their_policy_and_go() {
    let bytes = vec![0; 1 << 20];
    let service = prepared(&bytes);
    let roles = ["--disk", "d", "--snapshot-resource-group", "snap"];
    service.says(&on(&["role", "grant-vault"], &roles));
    let what = ["--disk", "d", "--policy-name", "pol-1", "--snapshot-resource-group", "snap"];
    service.says(&on(&["instance", "protect"], &[&what[..], &["-n", "inst"]].concat()));
    let state = |words: &[&str]| {
        let found = service.json(&on(words, &["-n", "inst"]));
        found["properties"]["currentProtectionState"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(&["instance", "suspend"]), "BackupsSuspended");
    assert_eq!(state(&["instance", "resume"]), "ProtectionConfigured");
    assert_eq!(state(&["instance", "stop"]), "ProtectionStopped");
    assert_eq!(state(&["instance", "resume"]), "ProtectionConfigured");
    service.says(&on(&["policy", "create"], &["-n", "pol-2", "--every", "P1D", "--keep", "P3D"]));
    let change = ["-n", "inst", "--policy-name", "pol-2"];
    let changed = service.json(&on(&["instance", "update-policy"], &change));
    let policy = changed["properties"]["policyInfo"]["policyId"].as_str().unwrap();
    assert!(policy.ends_with("/backupPolicies/pol-2"), "{policy}");

    // Nothing goes without being asked for.
    let said = service.fails(2, &on(&["instance", "delete"], &["-n", "inst"]));
    assert!(said.contains("--yes"), "{said}");
    service.says(&on(&["instance", "delete"], &["-n", "inst", "--yes"]));
    service.fails(4, &on(&["instance", "show"], &["-n", "inst"]));
    let gone = service.json(&on(&["instance", "list"], &["--deleted"]));
    assert_eq!(gone[0]["name"], "inst");
    assert_eq!(state(&["instance", "undelete"]), "ProtectionStopped");
    assert_eq!(state(&["instance", "resume"]), "ProtectionConfigured");
    service.says(&["snapshot", "create", "-g", "rg", "-n", "s", "--source", "d"]);
    service.says(&["snapshot", "download", "-g", "rg", "-n", "s", "--file", "s.img"]);
    assert!(read(&service.path("s.img")) == bytes);
    service.says(&["disk", "create", "-g", "rg", "-n", "copy", "--source", "s"]);
    let removed = service.run(&["disk", "delete", "-g", "rg", "-n", "copy", "--yes"]);
    assert!(removed.status.success() && error(&removed).contains("deleted"));
    let again = service.run(&["disk", "delete", "-g", "rg", "-n", "copy", "--yes"]);
    assert!(again.status.success() && error(&again).contains("there is no disk"));
}

#[test]
fn mistakes_have_messages_and_codes() {
    let service = Service::start();
    let said = service.fails(2, &["group", "list"]);
    assert!(said.contains("tresor login --data"), "{said}");
    service.says(&["login", "--data", &service.data()]);
    let said = service.fails(4, &["group", "show", "-n", "none"]);
    assert!(said.contains("404 ResourceGroupNotFound") && said.contains("'none'"), "{said}");
    service.says(&["group", "create", "-n", "rg"]);
    let said = service.fails(4, &["disk", "show", "-g", "rg", "-n", "d"]);
    assert!(said.contains("ResourceNotFound"), "{said}");
    let said = service.fails(2, &["disk", "show", "-n", "d"]);
    assert!(said.contains("-g"), "{said}");
    let said = service.fails(2, &["disk", "show", "-g", "rg", "-n", "../d"]);
    assert!(said.contains("'../d' is no name"), "{said}");
    service.fails(2, &["disk", "show", "--frobnicate"]);
    let said = service.fails(1, &["group", "create", "-n", "x", "-l", "mars"]);
    assert!(said.contains("mars"), "{said}");
    // Nothing on standard output but the result: none at all here.
    assert_eq!(service.says(&["disk", "list"]), "");
    assert_eq!(service.says(&["disk", "list", "-o", "json"]), "[]\n");
    let script = service.says(&["completions", "bash"]);
    assert!(script.contains("grant-vault"));
    // Through a pipe that nobody reads any more, or with an odd PATH: an error, never a panic.
    let mut check = service.command(&["setup", "az", "--check"]);
    let done = check.env("PATH", service.path("empty")).output().unwrap();
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(1), "{told}");
    for line in [
        "ok       the service answers",
        "ok       cloud metadata",
        "ok       authority",
        "ok       token",
        "ok       subscription",
        "MISSING  REQUESTS_CA_BUNDLE: not set",
        "MISSING  az: az cannot be run",
    ] {
        assert!(told.contains(line), "{line}: {told}");
    }
    let steps = service.says(&["setup", "terraform"]);
    assert!(steps.contains(service.base_url.trim_start_matches("https://")), "{steps}");
    assert!(!steps.contains(service.owner()["client_secret"].as_str().unwrap()));
}

#[test]
fn a_service_that_cannot_be_reached_or_believed_is_told_apart() {
    let service = Service::start();
    let owner = service.owner();
    let text = |name: &str| owner[name].as_str().unwrap().to_owned();
    let with = |base_url: &str, ca_file: &str, secret: &str| {
        let mut command = service.command(&["group", "list"]);
        command.env("BASE_URL", base_url).env("CA_FILE", ca_file);
        command.env("TENANT_ID", text("tenant")).env("CLIENT_ID", text("client_id"));
        command.env("CLIENT_SECRET", secret).env("SUBSCRIPTION_ID", text("subscription"));
        command.output().unwrap()
    };
    let (ca_file, secret) = (service.ca_file(), text("client_secret"));
    let good = with(&service.base_url, &ca_file, &secret);
    assert!(good.status.success(), "{}", error(&good));
    let said = failed(&with(&service.base_url, &ca_file, "not-the-secret"), 1, &[]);
    assert!(said.contains("AADSTS7000215") && said.contains("help:"), "{said}");
    assert!(!said.contains("not-the-secret"), "{said}");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = failed(&with(&format!("https://{free}"), &ca_file, &secret), 1, &[]);
    assert!(said.contains("tresor serve") && !said.contains(&secret), "{said}");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(service.path("other.pem"), other.cert.pem()).unwrap();
    let other = service.path("other.pem").display().to_string();
    let said = failed(&with(&service.base_url, &other, &secret), 1, &[]);
    assert!(said.contains("CA_FILE") && !said.contains(&secret), "{said}");
    let said = failed(&with("http://localhost:1", &ca_file, &secret), 2, &[]);
    assert!(said.contains("https://"), "{said}");
}

#[test]
fn a_sign_in_keeps_no_secret_unless_told_to() {
    let service = Service::start();
    let owner = service.owner();
    let text = |name: &str| owner[name].as_str().unwrap().to_owned();
    let secret = text("client_secret");
    let profile = service.path("config/tresor/profile.json");
    let kept = || String::from_utf8(read(&profile)).unwrap();
    let (base_url, ca_file) = (service.base_url.clone(), service.ca_file());
    let (tenant, client) = (text("tenant"), text("client_id"));
    let flags = ["login", "--base-url", &base_url, "--ca-file", &ca_file, "--tenant", &tenant];
    let flags = [&flags[..], &["--client-id", &client, "--secret-file", "-"]].concat();

    let done = service.feed(&mut service.command(&flags), &format!("{secret}\n"));
    assert!(done.status.success(), "{}", error(&done));
    assert!(!String::from_utf8_lossy(&done.stdout).contains(&secret));
    let mode = std::fs::metadata(&profile).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(!kept().contains(&secret) && kept().contains("\"ends\""));
    service.says(&["group", "create", "-n", "rg"]);
    let shown = service.json(&["account", "show"]);
    assert_eq!((&shown["tenantId"], &shown["clientId"]), (&owner["tenant"], &owner["client_id"]));
    assert_eq!(shown["subscriptionId"], owner["subscription"]);

    let keep = [&flags[..], &["--keep-secret"]].concat();
    let done = service.feed(&mut service.command(&keep), &secret);
    assert!(done.status.success(), "{}", error(&done));
    assert!(kept().contains(&secret));
    assert!(!service.says(&["account", "show"]).contains(&secret));
    service.says(&["group", "show", "-n", "rg"]);

    // A kept sign-in that others can read is not used.
    std::fs::set_permissions(&profile, std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = service.fails(2, &["group", "list"]);
    assert!(said.contains("chmod 600") && !said.contains(&secret), "{said}");

    service.says(&["login", "--data", &service.data()]);
    assert!(!kept().contains(&secret) && !kept().contains(&base_url));
    service.says(&["logout"]);
    assert!(!profile.exists());
    let said = service.fails(2, &["account", "show"]);
    assert!(said.contains("nobody is signed in"), "{said}");
    // A wrong secret keeps nothing.
    let done = service.feed(&mut service.command(&flags), "wrong\n");
    let said = failed(&done, 1, &flags);
    assert!(said.contains("AADSTS7000215") && !profile.exists(), "{said}");
}
