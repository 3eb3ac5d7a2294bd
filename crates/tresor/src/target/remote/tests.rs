use std::ffi::OsStr;

use super::super::Target;
use super::*;

fn environment(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn bucket(text: &str) -> Bucket {
    match Target::parse(OsStr::new(text)).unwrap() {
        Target::Bucket(bucket) => bucket,
        Target::Folder(_) => panic!("{text} is a folder"),
    }
}

fn client(text: &str, pairs: &[(&str, &str)]) -> Result<Arc<dyn ObjectStore>> {
    bucket(text).client(&environment(pairs))
}

const KEYS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "k"), ("AWS_SECRET_ACCESS_KEY", "s")];

#[test]
fn plain_http_must_be_allowed() {
    let endpoint = [KEYS[0], KEYS[1], ("AWS_ENDPOINT_URL", "http://127.0.0.1:1")];
    let refused = client("s3://bucket", &endpoint).unwrap_err();
    assert!(Usage::is_in(&refused) && refused.to_string().contains("AWS_ALLOW_HTTP"));
    let allowed = [&endpoint[..], &[("AWS_ALLOW_HTTP", "true")]].concat();
    client("s3://bucket", &allowed).unwrap();
    let text = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=aGVsbG8=;\
                EndpointSuffix=core.windows.net";
    let refused = client("az://c", &[(CONNECTION_STRING, text)]).unwrap_err();
    assert!(Usage::is_in(&refused) && refused.to_string().contains("AZURE_ALLOW_HTTP"));
}

#[test]
fn a_connection_string_is_read_and_its_key_is_not_cut() {
    let text = "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=aGVsbG8=;\
                EndpointSuffix=core.chinacloudapi.cn";
    let read = connection_string(text).unwrap();
    let get = |key| read.iter().find(|(k, _)| *k == key).map(|(_, value)| value.as_str());
    assert_eq!(get(AzureConfigKey::AccessKey), Some("aGVsbG8="));
    let endpoint = "https://acc.blob.core.chinacloudapi.cn";
    assert_eq!(get(AzureConfigKey::Endpoint), Some(endpoint));
    client("az://container/a", &[(CONNECTION_STRING, text)]).unwrap();
    let said = connection_string("AccountKey=x;hidden").unwrap_err();
    assert!(Usage::is_in(&said) && !said.to_string().contains("hidden"));
}

#[test]
fn an_account_without_a_name_is_a_usage_error() {
    let error = client("az://container/a", &[]).unwrap_err();
    assert!(Usage::is_in(&error), "{error:#}");
}

#[test]
fn the_environment_does_not_move_the_place() {
    let moved = [&KEYS[..], &[("AWS_BUCKET", "other"), ("AWS_UNKNOWN", "x")]].concat();
    let shown = format!("{:?}", client("s3://mine/p", &moved).unwrap());
    assert!(shown.contains("mine") && !shown.contains("\"other\""), "{shown}");
}

#[test]
fn a_server_that_is_not_there_is_told_at_once_with_advice() {
    let rt = crate::serve::runtime().unwrap();
    let pairs = environment(&[
        KEYS[0],
        KEYS[1],
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ALLOW_HTTP", "true"),
    ]);
    let error = bucket("s3://bucket/a").connect(&pairs, rt.handle()).unwrap_err();
    let said = format!("{error:#}");
    assert!(said.contains("s3://bucket/a") && said.contains("AWS_ENDPOINT_URL"), "{said}");
    assert!(said.contains("refused"), "{said}");
}
