//! Logs and documents as they are, and as they must not be.

use super::*;

const TEXT: &str = "# Head

| operation | request | needs | served | proved by |
|---|---|---|---|---|
| A_Get | GET `/a` | nothing | yes | az, Python 1.4 |
| B_Get | GET `/b` | nothing | refused | unproven |
| C_Get | GET `/c` | nothing | yes | unproven |
";

fn line(operation: &str, client: &str, status: u16) -> String {
    let fields = format!(
        r#""message":"answered","operation":"{operation}","client":"{client}","status":{status}"#
    );
    format!("{{\"timestamp\":\"x\",\"level\":\"INFO\",\"fields\":{{{fields}}}}}\n")
}

fn logged(lines: &[(&str, String)]) -> BTreeSet<Answer> {
    let folder = tempfile::tempdir().unwrap();
    for (number, (part, text)) in lines.iter().enumerate() {
        let part = folder.path().join(part);
        std::fs::create_dir_all(&part).unwrap();
        std::fs::write(part.join(format!("{number}.log")), text).unwrap();
    }
    answers(folder.path()).unwrap()
}

#[test]
fn proof_is_what_a_known_client_was_given() {
    let answers = logged(&[
        ("az", line("A_Get", "python-requests/2", 200)),
        ("az", line("C_Get", "AZURECLI/2.91.0 azsdk-python-x", 404)),
        ("js", line("B_Get", "core-rest-pipeline/1", 400) + "{\"fields\":{\"mess"),
        ("clients", line("A_Get", "schemathesis/4", 200)),
        ("clients", line("C_Get", "", 403) + "no JSON\n" + &line("D_Get", "", 200)),
    ]);
    let document = Document::of(TEXT);
    let report = compare(&document.rows().unwrap(), &answers);
    assert_eq!(report.unproven, ["C_Get"]);
    assert_eq!(report.lost, ["A_Get by Python 1.4"]);
    assert_eq!(report.gained, ["B_Get by JS"]);
    assert_eq!(report.unknown, ["D_Get"]);
    assert!(!report.ok());
    assert_eq!(report.note(), "3 operations, 1 unproven, 1 newly proved");
}

#[test]
fn the_document_keeps_everything_but_its_last_column() {
    let answers = logged(&[
        ("sdk14", line("A_Get", "azsdk-python-mgmt-dataprotection/1.4.0", 200)),
        ("clients", line("A_Get", "azsdk-python-identity/1", 201)),
        ("clients", line("B_Get", "terraform-rules/1", 401)),
    ]);
    let mut document = Document::of(TEXT);
    let report = compare(&document.rows().unwrap(), &answers);
    document.prove(&report.proofs);
    let expected = TEXT.replace("| az, Python 1.4 |", "| Python 2, Python 1.4 |");
    assert_eq!(document.text(), expected);
    // What was written is what is read.
    let again = compare(&document.rows().unwrap(), &answers);
    assert!(again.ok() && again.gained.is_empty());
}

#[test]
fn nothing_to_compare_is_an_error() {
    assert!(Document::of("# Head\n").rows().is_err());
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("docs")).unwrap();
    std::fs::write(folder.path().join(DOCUMENT), TEXT).unwrap();
    std::fs::create_dir_all(folder.path().join("requests")).unwrap();
    assert!(check(folder.path(), &folder.path().join("requests")).is_err());
}

#[test]
fn every_client_has_a_name_of_its_own() {
    let names: BTreeSet<&str> = Client::ALL.into_iter().map(Client::name).collect();
    assert_eq!(names.len(), Client::ALL.len());
    assert_eq!(Client::of("js", "tresor/0.1"), Some(Client::Cli));
    assert_eq!(Client::of("kill", ""), Some(Client::Raw));
    assert_eq!(Client::of("clients", "azcopy-rules/1"), Some(Client::Azcopy));
}
