"""What the second reader is made of: refusals, hashes, derived keys, seals, recovery keys."""

import hashlib
import hmac

import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Damage(Exception):
    """The bytes are not those of a store, or not those that were written."""


def need(holds, what):
    if not holds:
        raise Damage(what)


def hkdf(salt, secret, info):
    """HKDF-SHA256, 32 bytes."""
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


def keyed(key, *parts):
    hasher = blake3.blake3(key=key)
    for part in parts:
        hasher.update(part)
    return hasher.digest()


def opened(key, counter, sealed, associated):
    """What AES-256-GCM sealed with the nonce `counter`."""
    try:
        return AESGCM(key).decrypt(counter.to_bytes(12, "big"), sealed, associated or None)
    except InvalidTag:
        raise Damage("a tag does not fit its bytes") from None


def recovery_key(text):
    """The 32 bytes of 56 digits of Crockford's base 32, whose checksum must fit."""
    digits = text.upper().replace("-", "").replace(" ", "")
    digits = digits.replace("O", "0").replace("I", "1").replace("L", "1")
    need(len(digits) == 56 and set(digits) <= set(BASE32), "a recovery key has 56 digits")
    number = 0
    for digit in digits:
        number = number * 32 + BASE32.index(digit)
    raw = number.to_bytes(35, "big")
    key, checksum = raw[:32], raw[32:]
    context = "tresor 0 recovery key checksum"
    expected = blake3.blake3(key, derive_key_context=context).digest()[:3]
    need(checksum == expected, "the recovery key is mistyped")
    return key
