//! The slot object, byte for byte.

use jiff::Timestamp;

use super::bundle::Note;
use super::sheet::Sheet;
use super::slot::Slot;
use super::*;
use crate::config::StoreConfig;
use crate::fixture::{STORE, env};

fn sheet() -> (Sheet, Bundle) {
    let env = env();
    let config = StoreConfig { argon2_kib: 8, argon2_passes: 1, ..StoreConfig::default() };
    let key = Zeroizing::new([3; 32]);
    let secrets =
        [Secret::KeyFile([1; 32].into()), Secret::Passphrase("a passphrase".to_owned().into())];
    let wrap = |secret| Slot::wrap(env.uuid(), STORE, &key, secret, &config, &env).unwrap();
    let slots: Vec<_> = secrets.iter().map(wrap).collect();
    let created = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
    let note = Note { slot: slots[0].id(), created, label: "an office".to_owned() };
    let epochs = Epochs::from([(1, [4; 32].into()), (2, [5; 32].into())]);
    let domain = Domain { id: STORE, id_key: [6; 32], seed: [7; 16] };
    let bundle = Bundle { domain, epochs, notes: vec![note] };
    let sheet = Sheet::seal((STORE, 9, Uuid::nil()), slots, &key, &bundle, &env).unwrap();
    (sheet, bundle)
}

#[test]
fn a_slot_object_byte_for_byte() {
    let (sheet, bundle) = sheet();
    let bytes = sheet.encode().unwrap();
    let digest = format!("{}:{}", bytes.len(), &blake3::hash(&bytes).to_hex()[..32]);
    assert_eq!(digest, "523:1c168cec9c0d0fcf2440079b8e239734");
    let back = Sheet::decode(&bytes).unwrap();
    for secret in
        [Secret::KeyFile([1; 32].into()), Secret::Passphrase("a passphrase".to_owned().into())]
    {
        let (key, opened) = back.unlock(&secret).unwrap();
        assert!(*key == [3; 32] && opened == bundle);
    }
    assert!(back.open(&[9; 32].into()).unwrap().is_none());
    assert!(
        !format!("{:?}", KeyRing::random(STORE, bundle.domain.clone(), &Env::system()))
            .contains("6, 6")
    );
}

/// Also where the checksum is made anew, nothing of the sheet can be changed: not the
/// generation, not the list of slots, not their order.
#[test]
fn a_slot_object_that_was_changed_on_purpose_is_not_authentic() {
    let (sheet, bundle) = sheet();
    let bytes = sheet.encode().unwrap();
    let key = Secret::KeyFile([1; 32].into());
    let mut refused = 0;
    for place in 0..bytes.len() - 4 {
        let mut wrong = bytes.clone();
        wrong[place] ^= 1;
        let body = wrong.len() - 4;
        let sum = crc32fast::hash(&wrong[..body]).to_le_bytes();
        wrong[body..].copy_from_slice(&sum);
        match Sheet::decode(&wrong).and_then(|sheet| sheet.unlock(&key)) {
            // Three bytes of a slot's head mean nothing and are not kept.
            Ok((_, opened)) => assert!(opened == bundle && (96..220).contains(&place), "{place}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused >= bytes.len() - 4 - 6, "{refused} of {}", bytes.len());
    let mut fewer = sheet.clone();
    fewer.slots.pop();
    let back = Sheet::decode(&fewer.encode().unwrap()).unwrap();
    assert_eq!(back.unlock(&key).err().unwrap().kind(), ErrorKind::Corrupt);
    let mut swapped = sheet;
    swapped.slots.swap(0, 1);
    assert_eq!(swapped.unlock(&key).err().unwrap().kind(), ErrorKind::Corrupt);
}
