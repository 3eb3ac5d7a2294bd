//! The key that a store is opened with: a key file, or a passphrase from the environment.
//!
//! Never a command-line argument: other users of the machine can read those.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use tresor_store::Secret;
use tresor_store::env::Env;
use zeroize::{Zeroize, Zeroizing};

use crate::durable::{self, Access};
use crate::usage::Usage;

const PASSPHRASE: &str = "TRESOR_PASSPHRASE";
const NEW_PASSPHRASE: &str = "TRESOR_NEW_PASSPHRASE";
/// Where the recovery key may be given.
pub(super) const RECOVERY: &str = "TRESOR_RECOVERY_KEY";
const TO_PASSPHRASE: &str = "TRESOR_TO_PASSPHRASE";
const KEY_BYTES: usize = 32;

/// The key of a store that is there.
pub(super) fn existing(key_file: Option<&Path>) -> Result<Secret> {
    match key_file {
        Some(path) => read(path),
        None => match (std::env::var(PASSPHRASE), std::env::var(RECOVERY)) {
            (Err(_), Ok(text)) => recovery(&text),
            (text, _) => passphrase(text.ok()),
        },
    }
}

/// All keys that the caller has given: the key file, the passphrase and the recovery key.
pub(super) fn all_given(key_file: Option<&Path>) -> Result<Vec<Secret>> {
    let mut secrets = Vec::new();
    secrets.extend(key_file.map(read).transpose()?);
    secrets.extend(std::env::var(PASSPHRASE).ok().map(|text| passphrase(Some(text))).transpose()?);
    secrets.extend(std::env::var(RECOVERY).ok().map(|text| recovery(&text)).transpose()?);
    match secrets.is_empty() {
        true => passphrase(None).map(|secret| vec![secret]),
        false => Ok(secrets),
    }
}

/// A recovery key as it was printed.
pub(super) fn recovery(text: &str) -> Result<Secret> {
    let text = Zeroizing::new(text.trim().to_owned());
    let key = text.parse().with_context(|| Usage("this is no recovery key".to_owned()))?;
    Ok(Secret::Recovery(key))
}

/// A key for a new slot: a file, which is made if it is not there, or a passphrase.
pub(super) fn new_one(key_file: Option<&Path>, env: &Env) -> Result<Secret> {
    match (key_file, std::env::var(NEW_PASSPHRASE)) {
        (Some(_), _) => new_or_existing(key_file, env),
        (None, Ok(text)) if !text.is_empty() => passphrase(Some(text)),
        (None, _) => {
            let text = format!("give --new-key-file FILE, or a passphrase in {NEW_PASSPHRASE}");
            Err(Usage::error(text))
        }
    }
}

/// The key of the store that is copied to.
pub(super) fn of_target(key_file: Option<&Path>) -> Result<Secret> {
    match (key_file, std::env::var(TO_PASSPHRASE)) {
        (None, Ok(text)) => passphrase(Some(text)),
        (key_file, _) => existing(key_file),
    }
}

/// The key of a new store; a key file that is not there is made.
pub(super) fn new_or_existing(key_file: Option<&Path>, env: &Env) -> Result<Secret> {
    if let Some(path) = key_file
        && !path.exists()
    {
        let key = Zeroizing::new(env.bytes::<KEY_BYTES>());
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES + 1));
        for byte in key.iter() {
            text.push_str(&format!("{byte:02x}"));
        }
        text.push('\n');
        durable::write(path, text.as_bytes(), Access::Private)?;
    }
    existing(key_file)
}

fn passphrase(text: Option<String>) -> Result<Secret> {
    match text {
        Some(text) if !text.is_empty() => Ok(Secret::Passphrase(Zeroizing::new(text))),
        _ => Err(Usage::error(format!("give --key-file FILE, or a passphrase in {PASSPHRASE}"))),
    }
}

/// 32 bytes, or 64 hex digits.
fn read(path: &Path) -> Result<Secret> {
    let bytes = fs::read(path)
        .with_context(|| Usage(format!("cannot read the key file {}", path.display())))?;
    let bytes = Zeroizing::new(bytes);
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    let good = if bytes.len() == KEY_BYTES {
        key.copy_from_slice(&bytes);
        true
    } else {
        decode(bytes.trim_ascii(), &mut key)
    };
    if good {
        Ok(Secret::KeyFile(key))
    } else {
        let text = format!("{} is no key file: 32 bytes or 64 hex digits", path.display());
        Err(Usage::error(text))
    }
}

fn decode(text: &[u8], key: &mut [u8; KEY_BYTES]) -> bool {
    if text.len() != 2 * KEY_BYTES {
        return false;
    }
    for (target, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| pair.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(0), digit(1)) else {
            key.zeroize();
            return false;
        };
        *target = (high * 16 + low) as u8;
    }
    true
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn bytes(secret: &Secret) -> [u8; KEY_BYTES] {
        match secret {
            Secret::KeyFile(key) => **key,
            _ => panic!("not a key file"),
        }
    }

    #[test]
    fn a_missing_key_file_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        assert!(existing(Some(&path)).is_err());
        let made = bytes(&new_or_existing(Some(&path), &Env::system()).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(bytes(&existing(Some(&path)).unwrap()), made);
        assert_eq!(bytes(&new_or_existing(Some(&path), &Env::system()).unwrap()), made);
    }

    #[test]
    fn a_key_is_raw_or_hex() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, [7; 32]).unwrap();
        assert_eq!(bytes(&existing(Some(&path)).unwrap()), [7; 32]);
        fs::write(&path, "0A".repeat(32) + "\n").unwrap();
        assert_eq!(bytes(&existing(Some(&path)).unwrap()), [10; 32]);
        for wrong in ["", "short", &"0g".repeat(32), &"00".repeat(33)] {
            fs::write(&path, wrong).unwrap();
            assert!(existing(Some(&path)).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn an_empty_passphrase_is_none() {
        assert!(passphrase(None).is_err());
        assert!(passphrase(Some(String::new())).is_err());
        assert!(passphrase(Some("open".to_owned())).is_ok());
    }
}
