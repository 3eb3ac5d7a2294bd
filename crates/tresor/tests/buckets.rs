//! `tresor store` through the binary on buckets of real servers, which `cargo xtask test --only
//! objects` starts and names in the environment; without it these tests fail.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod rig;

mod servers {
    use serde_json::Value;

    use super::rig::{Bench, disk, noise, ok, text};

    /// A place in a bucket or container that nobody else has.
    fn place(scheme: &str, variable: &str) -> String {
        let bucket = std::env::var(variable);
        let bucket = bucket.unwrap_or_else(|_| {
            panic!("{variable} is not set: run `cargo xtask test --only objects`")
        });
        format!("{scheme}://{bucket}/binary/{}", uuid::Uuid::new_v4().simple())
    }

    fn s3() -> String {
        place("s3", "TRESOR_TEST_BUCKET")
    }

    fn azure() -> String {
        place("az", "TRESOR_TEST_CONTAINER")
    }

    /// Runs a command on a place with the key `name`.
    fn on(bench: &Bench, url: &str, name: &str, verb: &str, more: &[&str]) -> Value {
        let key = format!("{name}.key");
        let args = [verb, "--store", url, "--key-file", &key, "--json"];
        ok(&bench.run(&[&args, more].concat()))
    }

    /// A life: filled, read, thinned out, collected, checked.
    fn a_store_lives_in_a_bucket(url: &str) {
        let bench = Bench::new();
        let run = |verb: &str, more: &[&str]| on(&bench, url, "a", verb, more);
        let made = run("init", &[]);
        let again = bench.run(&["init", "--store", url, "--key-file", "a.key"]);
        assert!(!again.status.success(), "there is one already");
        let mut bytes = disk(50);
        bench.write("disk", &bytes);
        let first = text(&run("backup", &["disk"])["point"]);
        bytes[8192..12288].fill(9);
        bytes[4 << 20..5 << 20].copy_from_slice(&noise(51, 1 << 20));
        bench.write("disk", &bytes);
        bench.write("changed", b"8192 4096\n4194304 1048576\n");
        let second = run("backup", &["disk", "--parent", &first, "--changed", "changed"]);
        assert!(second["bytes_read"].as_u64().unwrap() < 4 << 20, "{second}");
        assert_eq!(run("list", &[])["points"].as_array().unwrap().len(), 2);
        assert_eq!(run("inspect", &[])["store"], made["store"]);
        run("remove", &[&first]);
        run("gc", &["--max-unused", "0"]);
        let found = run("verify", &["--deep"]);
        assert_eq!(found["findings"], Value::Array(vec![]), "{found}");
        run("restore", &["--point", "latest", "out"]);
        assert!(bench.read("out") == bytes);
        let idle = run("gc", &["--dry-run"]);
        assert_eq!(idle["dead_packs"].as_u64(), Some(0), "{idle}");
    }

    #[test]
    fn a_store_lives_in_a_bucket_of_s3() {
        a_store_lives_in_a_bucket(&s3());
    }

    #[test]
    fn a_store_lives_in_a_container_of_azure() {
        a_store_lives_in_a_bucket(&azure());
    }

    #[test]
    fn points_are_copied_from_one_provider_to_the_other() {
        let (bench, near, far) = (Bench::new(), s3(), azure());
        on(&bench, &near, "a", "init", &[]);
        on(&bench, &far, "b", "init", &["--domain-of", &near, "--domain-key-file", "a.key"]);
        let bytes = disk(52);
        bench.write("disk", &bytes);
        on(&bench, &near, "a", "backup", &["disk"]);
        let args = ["--to", &far, "--to-key-file", "b.key", "--all"];
        let copied = on(&bench, &near, "a", "copy", &args);
        assert_eq!(copied["points"][0]["copied"], true, "{copied}");
        on(&bench, &far, "b", "restore", &["--point", "latest", "out"]);
        assert!(bench.read("out") == bytes);
    }

    #[test]
    fn a_wrong_bucket_is_told_at_once() {
        let bench = Bench::new();
        bench.write("a.key", "07".repeat(32).as_bytes());
        for url in ["s3://no-such-place-7f3/a", "az://no-such-place-7f3/a"] {
            let refused = bench.run(&["list", "--store", url, "--key-file", "a.key"]);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(
                refused.status.code() == Some(1) && said.contains("there is no such"),
                "{said}"
            );
        }
    }
}
