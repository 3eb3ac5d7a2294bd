//! The recovery key: 256 bits that a person can write on paper.

use std::fmt;
use std::str::FromStr;

use zeroize::Zeroizing;

use crate::env::Env;
use crate::error::{Error, ErrorKind, Result};

/// Crockford's base 32: no I, L, O or U, so that nothing is mistaken for another digit.
const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Digits in a group.
const GROUP: usize = 7;

/// Bytes of checksum after the 32 of the key; together they fill 56 digits exactly.
const CHECK: usize = 3;

/// A secret that opens the store when everything else is lost. Printed once, never stored.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryKey(pub(crate) Zeroizing<[u8; 32]>);

impl RecoveryKey {
    /// A new key. It opens nothing until a slot of a store knows it
    /// (see [`crate::Store::add_slot`]).
    pub fn random(env: &Env) -> Self {
        Self(Zeroizing::new(env.bytes()))
    }

    fn checksum(&self) -> [u8; CHECK] {
        let hash = blake3::derive_key("tresor 0 recovery key checksum", self.0.as_slice());
        let mut out = [0; CHECK];
        for (to, from) in out.iter_mut().zip(hash) {
            *to = from;
        }
        out
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(..)")
    }
}

/// Eight groups of seven digits.
impl fmt::Display for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut held, mut bits, mut written) = (0u32, 0, 0);
        for byte in self.0.iter().copied().chain(self.checksum()) {
            held = held << 8 | u32::from(byte);
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                let digit = DIGITS.get((held >> bits & 31) as usize).copied().unwrap_or(b'?');
                if written > 0 && written % GROUP == 0 {
                    f.write_str("-")?;
                }
                write!(f, "{}", char::from(digit))?;
                written += 1;
            }
        }
        Ok(())
    }
}

impl FromStr for RecoveryKey {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = |why: &str| Error::new(ErrorKind::Invalid, format!("the recovery key {why}"));
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 + CHECK));
        let (mut held, mut bits) = (0u32, 0);
        for c in text.bytes().filter(|c| *c != b'-' && !c.is_ascii_whitespace()) {
            let c = match c.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            let digit = DIGITS.iter().position(|d| *d == c);
            let digit = digit.ok_or_else(|| bad("has a character that is no digit of it"))?;
            held = held << 5 | digit as u32;
            bits += 5;
            if bits >= 8 {
                bits -= 8;
                bytes.push((held >> bits & 255) as u8);
            }
        }
        let (key, check) = bytes.split_first_chunk::<32>().ok_or_else(|| bad("is too short"))?;
        let key = Self(Zeroizing::new(*key));
        if check.len() != CHECK {
            return Err(bad("has the wrong length"));
        }
        if check != key.checksum() {
            return Err(bad("has a typing mistake: its checksum does not match"));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_typing_mistakes_are_found() {
        let mut key = [0; 32];
        for (i, b) in key.iter_mut().enumerate() {
            *b = (i * 37) as u8;
        }
        let key = RecoveryKey(Zeroizing::new(key));
        let text = key.to_string();
        assert_eq!(text.len(), 56 + 7);
        let back: RecoveryKey = text.to_lowercase().parse().unwrap();
        assert!(back == key);
        for i in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            if wrong[i] == b'-' {
                continue;
            }
            wrong[i] = if wrong[i] == b'7' { b'8' } else { b'7' };
            let wrong = String::from_utf8(wrong).unwrap();
            assert!(wrong.parse::<RecoveryKey>().is_err(), "digit {i}");
        }
        assert!(!format!("{key:?}").contains(&text[..7]));
    }
}
