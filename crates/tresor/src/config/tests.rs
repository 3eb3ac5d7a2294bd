use std::collections::{BTreeSet, HashMap};
use std::io::Write;

use super::docs::DOCS;
use super::load::names;
use super::*;
use crate::usage::Usage;

fn load(file: &str, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Loaded {
    let mut kept = tempfile::NamedTempFile::new().unwrap();
    kept.write_all(file.as_bytes()).unwrap();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    Sources {
        file: Some(kept.path().to_path_buf()),
        environment: environment.iter().map(own).collect::<HashMap<_, _>>(),
        flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
    }
    .load()
}

type Loaded = anyhow::Result<Config>;

fn refusal(loaded: Loaded) -> String {
    let error = loaded.unwrap_err();
    assert!(Usage::is_in(&error), "not a usage error: {error:#}");
    format!("{error:#}")
}

#[test]
fn nothing_set_gives_the_defaults() {
    assert_eq!(Sources::default().load().unwrap(), Config::default());
}

#[test]
fn flags_beat_environment_beats_file() {
    let file = "workers = 3\nlisten = \"0.0.0.0:1\"\n[log]\nfilter = \"warn\"\nformat = \"json\"\n";
    let environment = [("TRESOR_WORKERS", "4"), ("TRESOR_LOG__FILTER", "debug")];
    let settings = load(file, &environment, &[("log.filter", "error")]).unwrap();
    assert_eq!(settings.workers, 4);
    assert_eq!(settings.listen, "0.0.0.0:1".parse().unwrap());
    assert_eq!(settings.log.filter, "error");
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn the_environment_sets_lists_numbers_and_store_parameters() {
    let environment = [
        ("TRESOR_LOCATIONS", "westus,site-1"),
        ("TRESOR_TLS__NAMES", "backup.example"),
        ("TRESOR_IMPORT__FOLDERS", "/images,/more"),
        ("TRESOR_STORE__PACK_BYTES", "1048576"),
        ("TRESOR_LIMITS__MODE", "azure"),
        ("TRESOR_FIDELITY__RETRY_AFTER", "azure"),
    ];
    let settings = load("", &environment, &[]).unwrap();
    assert_eq!(settings.locations, ["westus", "site-1"]);
    assert_eq!(settings.tls.names, ["backup.example"]);
    assert_eq!(settings.import.folders, [PathBuf::from("/images"), PathBuf::from("/more")]);
    assert_eq!(settings.store.pack_bytes, 1 << 20);
    assert_eq!(settings.limits.mode, Limits::Azure);
    assert_eq!(settings.fidelity.retry_after, RetryMode::Azure);
}

#[test]
fn unknown_settings_are_refused_by_name() {
    let wrong = refusal(load("[tls]\nnams = [\"x\"]\n", &[], &[]));
    assert!(wrong.contains("unknown setting \"tls.nams\""), "{wrong}");
    let wrong = refusal(load("[nothing]\n", &[], &[]));
    assert!(wrong.contains("unknown setting \"nothing\""), "{wrong}");
    let wrong = refusal(load("filter = \"warn\"\n", &[], &[]));
    assert!(wrong.contains("did you mean \"log.filter\"?"), "{wrong}");
    let wrong = refusal(load("", &[("TRESOR_LISTN", "x")], &[]));
    assert!(wrong.contains("TRESOR_LISTN"), "{wrong}");
}

#[test]
fn variables_that_are_no_settings_are_left_alone() {
    let environment = [
        ("TRESOR_PASSPHRASE", "secret"),
        ("TRESOR_BIN", "/tresor"),
        ("TRESOR_PORT_8443_TCP", "tcp://10.0.0.1:8443"),
        ("TRESOR_SERVICE_HOST", "10.0.0.1"),
        ("PATH", "/bin"),
    ];
    assert_eq!(load("", &environment, &[]).unwrap(), Config::default());
}

#[test]
fn wrong_values_are_refused() {
    for (file, word) in [
        ("workers = 0\n", "workers"),
        ("workers = \"many\"\n", "workers"),
        ("locations = []\n", "locations"),
        ("listen = \"nowhere\"\n", "listen"),
        ("base_url = \"http://h\"\n", "base_url"),
        ("base_url = \"https://h/\"\n", "base_url"),
        ("[tls]\ncertificate = \"c.pem\"\n", "tls.key"),
        ("[limits]\nmode = \"some\"\n", "mode"),
        ("[log]\nformat = 3\n", "format"),
        ("workers = \n", "workers"),
        ("[store]\nlevel = 99\n", "level"),
        ("[audit]\nfiles = 0\n", "audit.files"),
        ("[rate]\nreads = -1\n", "reads"),
    ] {
        let wrong = refusal(load(file, &[], &[]));
        assert!(wrong.contains(word), "{file:?}: {wrong}");
    }
}

#[test]
fn a_missing_file_is_named() {
    let sources = Sources { file: Some("/nowhere/t.toml".into()), ..Sources::default() };
    assert!(refusal(sources.load()).contains("/nowhere/t.toml"));
}

#[test]
fn every_setting_is_documented_once() {
    let documented: BTreeSet<String> = DOCS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(documented.len(), DOCS.len(), "a setting is documented twice");
    assert_eq!(documented, names(&toml::Table::try_from(Config::default()).unwrap()));
}

#[test]
fn what_is_printed_can_be_read_back() {
    let environment = [("TRESOR_TLS__NAMES", "a.example,b.example"), ("TRESOR_WORKERS", "7")];
    let settings = load("", &environment, &[("data", "/srv/\"odd\" folder")]).unwrap();
    let printed = render(&settings).unwrap();
    assert_eq!(load(&printed, &[], &[]).unwrap(), settings, "{printed}");
    for (name, meaning) in DOCS {
        assert!(printed.contains(&format!("# {meaning}\n")), "{name} has no comment");
    }
}

#[test]
fn folders_lie_in_the_data_folder_unless_set() {
    let file = "data = \"/d\"\n[storage]\nstore = \"/fast\"\n";
    let settings = load(file, &[], &[]).unwrap();
    assert_eq!(settings.volumes(), PathBuf::from("/d/volumes"));
    assert_eq!(settings.store_folder(), PathBuf::from("/fast"));
}

#[test]
fn the_identity_endpoint_is_for_this_machine_only() {
    let id = "identities = [\"11111111-2222-3333-4444-555555555555\"]\n";
    let with = |listen: &str| load(&format!("[identity]\nlisten = \"{listen}\"\n{id}"), &[], &[]);
    for good in ["127.0.0.1:0", "[::1]:8480", "127.9.9.9:1"] {
        let address = with(good).unwrap().identity.address().unwrap();
        assert_eq!(address, Some(good.parse().unwrap()));
    }
    for bad in ["0.0.0.0:8480", "10.0.0.1:8480", "[::]:8480", "[fd00::1]:1", "localhost:1", "x"] {
        let text = refusal(with(bad));
        assert!(text.contains("identity.listen") && text.contains("127.0.0.1:8480"), "{text}");
    }
    assert_eq!(Config::default().identity.address().unwrap(), None, "off unless configured");
    let none = refusal(load("[identity]\nlisten = \"127.0.0.1:0\"\n", &[], &[]));
    assert!(none.contains("identity.identities"), "{none}");
    let alone = refusal(load("[identity]\nimds = true\n", &[], &[]));
    assert!(alone.contains("identity.listen"), "{alone}");
    let wrong = "[identity]\nlisten = \"127.0.0.1:0\"\nidentities = [\"me\"]\n";
    assert!(refusal(load(wrong, &[], &[])).contains("\"me\""));
}

#[test]
fn tokens_have_bounds() {
    for (text, name) in [
        ("lifetime_seconds = 599", "tokens.lifetime_seconds"),
        ("lifetime_seconds = 86401", "tokens.lifetime_seconds"),
        ("key_days = 0", "tokens.key_days"),
        ("key_days = 366", "tokens.key_days"),
    ] {
        assert!(refusal(load(&format!("[tokens]\n{text}\n"), &[], &[])).contains(name), "{text}");
    }
    let settings = load("[tokens]\nlifetime_seconds = 600\nkey_days = 365\n", &[], &[]).unwrap();
    assert_eq!((settings.tokens.lifetime_seconds, settings.tokens.key_days), (600, 365));
}

#[test]
fn a_service_for_tests_takes_a_free_port_of_this_machine() {
    let flag = [("test.ephemeral", "true")];
    let settings = load("", &[], &flag).unwrap();
    assert_eq!(settings.listen, "127.0.0.1:0".parse().unwrap());
    assert_eq!(settings.test.clock, DomainClock::System);
    let given = load("listen = \"[::1]:7\"\n", &[], &flag).unwrap();
    assert_eq!(given.listen, "[::1]:7".parse().unwrap());
    let given = load("", &[("TRESOR_LISTEN", "127.0.0.1:8")], &flag).unwrap();
    assert_eq!(given.listen.port(), 8);
    let given = load("[test]\nephemeral = true\n", &[], &[("listen", "127.0.0.1:8443")]).unwrap();
    assert_eq!(given.listen.port(), 8443);
    let wrong = refusal(load("listen = \"0.0.0.0:8443\"\n", &[], &flag));
    assert!(wrong.contains("0.0.0.0:8443"), "{wrong}");
    let wrong = refusal(load("[storage]\nstore = \"/kept\"\n", &[], &flag));
    assert!(wrong.contains("storage.store"), "{wrong}");
}

#[test]
fn only_a_service_for_tests_may_be_wrong_about_time() {
    for clock in ["manual", "2026-01-01T00:00:00Z"] {
        let wrong = refusal(load("", &[], &[("test.clock", clock)]));
        assert!(wrong.contains("--ephemeral"), "{wrong}");
        let flags = [("test.clock", clock), ("test.ephemeral", "true")];
        let settings = load("", &[], &flags).unwrap();
        let printed = render(&settings).unwrap();
        assert_eq!(load(&printed, &[], &[]).unwrap().test, settings.test, "{printed}");
    }
    let wrong = refusal(load("[test]\nclock = \"slow\"\n", &[], &[]));
    assert!(wrong.contains("slow"), "{wrong}");
}
