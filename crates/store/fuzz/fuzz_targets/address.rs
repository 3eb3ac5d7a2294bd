#![no_main]

use std::ffi::OsStr;

use libfuzzer_sys::fuzz_target;
use tresor_input::Address;

// Whatever is taken for a bucket holds no credentials, and errors do not repeat any.
fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Address::parse(OsStr::new(text)) {
        Ok(Address::Folder(folder)) => assert!(!folder.as_os_str().is_empty()),
        Ok(Address::Bucket(bucket)) => {
            let url = &bucket.url;
            assert!(url.password().is_none() && url.query().is_none() && url.fragment().is_none());
            assert!(url.username().is_empty() || url.scheme().starts_with("abfs"));
        }
        Err(_) => {}
    }
    for secret in ["s3://key:s3cr3t@bucket/a", "az://c/a?sig=s3cr3t", "s3://b/a#s3cr3t"] {
        let joined = format!("{secret}{text}");
        if let Err(said) = Address::parse(OsStr::new(&joined)) {
            assert!(!said.contains("s3cr3t"), "{said}");
        }
    }
});
