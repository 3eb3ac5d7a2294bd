use super::*;

fn parse(text: &str) -> Result<Target, String> {
    Target::parse(OsStr::new(text)).map_err(|e| e.to_string())
}

fn bucket(text: &str) -> (Provider, String) {
    match parse(text) {
        Ok(Target::Bucket(bucket)) => (bucket.provider, bucket.prefix.to_string()),
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn paths_and_file_urls_are_folders() {
    let folder = |text: &str| Ok(Target::Folder(PathBuf::from(text)));
    assert_eq!(parse("/a/b"), folder("/a/b"));
    assert_eq!(parse("a"), folder("a"));
    assert_eq!(parse("s3:a"), folder("s3:a"));
    assert_eq!(parse("file:///a%20b/c"), folder("/a b/c"));
    assert!(parse("").is_err());
    assert!(parse("file://host/a").is_err());
}

#[test]
fn urls_name_a_bucket_and_a_prefix() {
    assert_eq!(bucket("s3://bucket"), (Provider::S3, String::new()));
    assert_eq!(bucket("s3://bucket/"), (Provider::S3, String::new()));
    assert_eq!(bucket("s3://bucket/a/b/"), (Provider::S3, "a/b".to_owned()));
    let aws = bucket("https://s3.eu-central-1.amazonaws.com/bucket/a");
    assert_eq!(aws, (Provider::S3, "a".to_owned()));
    assert_eq!(bucket("az://container/a%20b"), (Provider::Azure, "a b".to_owned()));
    let azure = bucket("https://account.blob.core.windows.net/container/a/b");
    assert_eq!(azure, (Provider::Azure, "a/b".to_owned()));
    let hadoop = bucket("abfss://container@account.dfs.core.windows.net/a");
    assert_eq!(hadoop, (Provider::Azure, "a".to_owned()));
}

#[test]
fn other_urls_are_refused_with_what_to_give_instead() {
    for text in ["memory:///", "gs://bucket/a", "ftp://host/a", "http://host/a", "://"] {
        assert!(parse(text).is_err(), "{text}");
    }
    assert!(parse("https://minio.example:9000/bucket").unwrap_err().contains("AWS_ENDPOINT_URL"));
}

#[test]
fn secrets_in_a_url_are_refused_and_not_repeated() {
    for text in [
        "s3://key:hidden@bucket/a",
        "s3://hidden@bucket/a",
        "https://account.blob.core.windows.net/c?sig=hidden",
        "az://container/a#hidden",
    ] {
        let said = parse(text).unwrap_err();
        assert!(said.contains("AWS_ACCESS_KEY_ID") && !said.contains("hidden"), "{said}");
    }
}

#[test]
fn a_missing_folder_is_made_only_for_a_new_store() {
    let rt = crate::serve::runtime().unwrap();
    let top = tempfile::tempdir().unwrap();
    let target = Target::Folder(top.path().join("store"));
    assert!(Usage::is_in(&target.open(rt.handle()).unwrap_err()));
    target.make(rt.handle()).unwrap();
    target.open(rt.handle()).unwrap();
}
