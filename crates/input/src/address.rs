//! Where a store is: a folder, or a place in a bucket of S3 or a container of Azure Blob.
//!
//! The text names the place and never a secret: whoever writes one into it is told, and what he
//! wrote is not repeated.

use std::ffi::OsStr;
use std::path::PathBuf;

use object_store::ObjectStoreScheme;
use object_store::path::Path;
use url::Url;

/// A place for a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A folder of this machine.
    Folder(PathBuf),
    /// A part of a bucket.
    Bucket(Bucket),
}

/// A part of a bucket: all names below a prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Whose protocol it speaks.
    pub provider: Provider,
    /// The whole address, without secrets.
    pub url: Url,
    /// What all names begin with.
    pub prefix: Path,
}

/// Whose protocol a bucket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// S3, of Amazon and others.
    S3,
    /// Azure Blob.
    Azure,
}

impl Provider {
    /// Where its credentials belong.
    pub fn keys(self) -> &'static str {
        match self {
            Self::S3 => "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            Self::Azure => {
                "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY or \
                 AZURE_STORAGE_SAS_TOKEN"
            }
        }
    }
}

const FORMS: &str = "a path, file:///PATH, s3://BUCKET/PREFIX, az://CONTAINER/PREFIX or \
                     https://ACCOUNT.blob.core.windows.net/CONTAINER/PREFIX";

impl Address {
    /// Reads a path or a URL. Nothing is looked up. The error says what to write instead.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let Some(address) = text.to_str().filter(|text| text.contains("://")) else {
            if text.is_empty() {
                return Err(format!("the store is an empty text; it is {FORMS}"));
            }
            return Ok(Self::Folder(PathBuf::from(text)));
        };
        // What follows never repeats the whole text: it may hold a secret by mistake.
        let url = Url::parse(address).map_err(|e| format!("the store is no URL: {e}"))?;
        let (s3, azure) = (Provider::S3.keys(), Provider::Azure.keys());
        let advice = format!("give credentials in the environment instead ({s3}; {azure})");
        let hadoop = matches!(url.scheme(), "abfs" | "abfss");
        if url.password().is_some() || !url.username().is_empty() && !hadoop {
            return Err(format!("the store's URL holds credentials; {advice}"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(format!("the store's URL has a part after \"?\" or \"#\"; {advice}"));
        }
        let unknown = || format!("{url} is no place for a store; a place is {FORMS}");
        let (scheme, prefix) = ObjectStoreScheme::parse(&url).map_err(|_| unknown())?;
        let bucket = |provider| Self::Bucket(Bucket { provider, url: url.clone(), prefix });
        match scheme {
            ObjectStoreScheme::Local => {
                url.to_file_path().map(Self::Folder).map_err(|()| unknown())
            }
            ObjectStoreScheme::AmazonS3 => Ok(bucket(Provider::S3)),
            ObjectStoreScheme::MicrosoftAzure => Ok(bucket(Provider::Azure)),
            ObjectStoreScheme::Http => Err(format!(
                "{url} is no bucket that can be told from its address; for another server of the \
                 S3 protocol give s3://BUCKET/PREFIX and its address in AWS_ENDPOINT_URL, for \
                 Azure Blob az://CONTAINER/PREFIX and its address in AZURE_STORAGE_ENDPOINT"
            )),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, String> {
        Address::parse(OsStr::new(text))
    }

    fn bucket(text: &str) -> (Provider, String) {
        match parse(text) {
            Ok(Address::Bucket(bucket)) => (bucket.provider, bucket.prefix.to_string()),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn paths_and_file_urls_are_folders() {
        let folder = |text: &str| Ok(Address::Folder(PathBuf::from(text)));
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
        assert!(
            parse("https://minio.example:9000/bucket").unwrap_err().contains("AWS_ENDPOINT_URL")
        );
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
}
