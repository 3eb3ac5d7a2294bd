"""The footer of a fixed VHD, as tools that upload disk images write it (Virtual Hard Disk Image
Format Specification, Microsoft, 2006)."""

import struct
import uuid

FIXED = 2


def footer(size):
    """The 512 bytes behind a disk of so many bytes."""
    head = struct.pack(">8sIIQI4sI4sQQIII", b"conectix", 2, 0x10000, (1 << 64) - 1, 0, b"test",
                       1, b"Wi2k", size, size, 0, FIXED, 0)
    whole = bytearray(head + uuid.uuid4().bytes + bytes(428))
    whole[64:68] = struct.pack(">I", ~sum(whole) & 0xFFFFFFFF)
    assert len(whole) == 512
    return bytes(whole)


def fixed(image):
    """A whole fixed VHD."""
    return bytes(image) + footer(len(image))
