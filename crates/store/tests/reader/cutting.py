"""Where the format cuts a window into chunks and holes, for the second reader's check."""

import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from primitives import keyed


def cuts(data, config, seed):
    """Length of each item of a window, and whether it is a hole."""
    blocks = (config["chunk_mean"] - config["chunk_min"]) // 4096
    threshold = ((1 << 64) - 1) // max(1, blocks)
    universal, random = (
        blake3.blake3(seed, derive_key_context=f"tresor 0 cut {name}").digest()
        for name in ("universal", "random")
    )
    cipher = AESGCM(universal)

    def hashed(block):
        tag = cipher.encrypt(bytes(12), b"", block)
        return int.from_bytes(keyed(random, tag)[:8], "little")

    out, begun = [], 0

    def close(end):
        nonlocal begun
        if end > begun:
            out.append((end - begun, False))
        begun = end

    at = 0
    while at < len(data):
        block = data[at : at + 4096]
        if not any(block):
            end = at
            while end < len(data) and not any(data[end : end + 4096]):
                end = min(end + 4096, len(data))
            if (end - at) // 4096 >= config["zero_run_blocks"] or end == len(data):
                close(at)
                out.append((end - at, True))
                begun = at = end
                continue
            # A short run of zeros is data, in which nothing is cut but at the greatest length.
            while at < end:
                at += 4096
                if at - begun >= config["chunk_max"]:
                    close(at)
            continue
        at += len(block)
        size = at - begun
        if size >= config["chunk_max"] or size >= config["chunk_min"] and hashed(block) < threshold:
            close(at)
    close(len(data))
    return out
