//! The parsers of this module, for fuzzing.

use super::RecoveryKey;
use super::bundle::Bundle;
use super::sheet::Sheet;
use crate::fuzzing::with_sum;

/// A slot object, whose checksum is made right: what is read is written the same.
pub(crate) fn slots(bytes: &[u8]) {
    let bytes = with_sum(bytes);
    if let Ok(sheet) = Sheet::decode(&bytes)
        && let Ok(again) = sheet.encode().and_then(|bytes| Sheet::decode(&bytes))
    {
        assert_eq!(again.generation, sheet.generation);
        assert_eq!(again.slots.len(), sheet.slots.len());
    }
}

/// What is encrypted in a slot object.
pub(crate) fn bundle(bytes: &[u8]) {
    if let Ok(bundle) = Bundle::decode(bytes) {
        assert!(bundle.encode().is_ok_and(|again| Bundle::decode(&again).is_ok()));
    }
}

/// A recovery key as people type it.
pub(crate) fn recovery(text: &str) {
    if let Ok(key) = text.parse::<RecoveryKey>() {
        assert!(key.to_string().parse::<RecoveryKey>().is_ok());
    }
}
