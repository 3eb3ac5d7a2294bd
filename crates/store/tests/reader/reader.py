"""A second reader of Tresor's stores, written from crates/store/FORMAT.md and nothing else.

It proves that the description is enough: whoever has the objects, a key and that file can read
every recovery point. It shares no code with the product. It trusts nothing that it can check:
every length, checksum, tag, id and root; with `check` also the cuts, fences and filters.

    reader.py list    STORE (--key-file F | --recovery-key K | --passphrase P)
    reader.py restore STORE POINT FILE ...
    reader.py check   STORE ...
"""

import argparse
import json
import sys
import zlib
from pathlib import Path
from struct import unpack_from

import zstandard
from argon2.low_level import Type, hash_secret_raw
from cutting import cuts
from primitives import Damage, hkdf, keyed, need, opened, recovery_key

VERSION = 0
TAG = 16
PAGE = 4096
FILTER_BITS = 32_640
KEY_FILE, PASSPHRASE, RECOVERY_KEY = 1, 2, 3
POINT, VOID = 1, 4


class Keys:
    """What the bundle holds, and the keys that follow from it."""

    def __init__(self, store, bundle):
        self.store = store
        self.id_key, self.cut_seed = bundle[16:48], bundle[48:64]
        (count,) = unpack_from("<I", bundle, 64)
        self.epochs = {}
        place = 68 + 36 * count
        for at in range(68, place, 36):
            (number,) = unpack_from("<I", bundle, at)
            self.epochs[number] = bundle[at + 4 : at + 36]
        (count,) = unpack_from("<I", bundle, place)
        place += 4
        for _ in range(count):
            (length,) = unpack_from("<H", bundle, place + 24)
            place += 26 + length
        need(len(bundle) == place, "the bundle's length")
        self.first = self.epochs[min(self.epochs)]
        self.chunk = keyed(self.id_key, b"tresor 0 chunk")
        self.node = keyed(self.id_key, b"tresor 0 node")
        self.root = keyed(self.id_key, b"tresor 0 root")

    def of(self, epoch, salt, purpose):
        need(epoch in self.epochs, f"epoch {epoch} is unknown")
        return hkdf(salt, self.epochs[epoch], purpose + self.store)


def unlock(folder, kind, secret):
    """The keys, from the newest generation of which a copy is whole."""
    found = None
    copies = [path.name.split("-") for path in (folder / "keys").iterdir()]
    need(not any(copy[1] == "erased" for copy in copies), "the store was erased")
    for store, generation, copy in sorted(copies, key=lambda copy: copy[1], reverse=True):
        if found is not None and found != generation:
            break
        path = folder / "keys" / f"{store}-{generation}-{copy}"
        try:
            keys = unlock_object(path, int(generation, 16), kind, secret)
        except Damage as damage:
            print(f"{path.name}: {damage}", file=sys.stderr)
            continue
        if keys is not None:
            return keys
        found = generation
    raise Damage("the secret opens no slot")


def unlock_object(path, generation, kind, secret):
    data = path.read_bytes()
    need(data[:8] == b"TRSRKEYS", "not a slot object")
    version, count = unpack_from("<HH", data, 8)
    need(version == VERSION, f"version {version}")
    (code,) = unpack_from("<I", data, len(data) - 4)
    need(zlib.crc32(data[:-4]) == code, "the slot object's crc32")
    store = data[12:28]
    need(path.name.split("-")[0] == store.hex(), "the slot object's name")
    need(unpack_from("<I", data, 28) == (generation,), "the slot object's generation")
    place, store_key = 96, None
    for _ in range(count):
        head = data[place : place + 60]
        kib, passes, length = unpack_from("<III", data, place + 52)
        wrapped = data[place + 64 : place + 64 + length]
        place += 64 + length
        if head[0] != kind or store_key is not None:
            continue
        salt = head[20:52]
        stretched = secret
        if kind == PASSPHRASE:
            stretched = hash_secret_raw(secret, salt, passes, kib, 1, 32, Type.ID, 0x13)
        key = hkdf(salt, stretched, b"tresor 0 slot" + store + bytes([kind]))
        try:
            store_key = opened(key, 0, wrapped, store + head)
        except Damage:
            continue
    (length,) = unpack_from("<I", data, place)
    need(place + 4 + length == len(data) - 4, "the slot object's length")
    if store_key is None:
        return None
    key = hkdf(data[64:96], store_key, b"tresor 0 bundle" + store)
    return Keys(store, opened(key, 0, data[place + 4 : -4], data[:place]))


class Pack:
    """A pack: its head is checked once, its frames when they are read."""

    def __init__(self, path, keys):
        self.path, self.keys = path, keys
        with path.open("rb") as file:
            head = file.read(68)
        need(head[:8] == b"TRSRPACK" and len(head) == 68, "not a pack")
        version, self.kind, epoch = unpack_from("<HHI", head, 8)
        need(version == VERSION, f"version {version}")
        need(head[16:32] == keys.store, "a pack of another store")
        need(zlib.crc32(head[:64]) == unpack_from("<I", head, 64)[0], "the pack's crc32")
        self.salt, self.epoch = head[32:64], epoch
        self.key = keys.of(epoch, self.salt, b"tresor 0 pack")

    def frame(self, offset, length):
        """The id and the bytes of the frame there."""
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(length)
        need(len(data) == length and length >= 56 and data[:4] == b"TFRM", "not a frame")
        kind, encoding, _, number, stored, raw = unpack_from("<BBHIII", data, 4)
        need(kind == self.kind, "a frame of another kind")
        need(zlib.crc32(data[:52]) == unpack_from("<I", data, 52)[0], "the frame's crc32")
        need(length == 56 + stored, "the frame's length")
        associated = self.keys.store + self.salt + data[:56]
        text = opened(self.key, number, data[56:], associated)
        need(encoding in (0, 1), f"encoding {encoding}")
        if encoding == 1:
            text = zstandard.ZstdDecompressor().decompress(text, max_output_size=raw)
        need(len(text) == raw, "the decoded length")
        key = self.keys.chunk if kind == 1 else self.keys.node
        need(keyed(key, text) == data[20:52], "the bytes do not hash to their id")
        return kind, data[20:52], text

    def scan(self):
        """Place and length of each frame."""
        place, end = 68, self.path.stat().st_size
        with self.path.open("rb") as file:
            while place < end:
                file.seek(place)
                head = file.read(56)
                need(len(head) == 56 and head[:4] == b"TFRM", "not a frame")
                length = 56 + unpack_from("<I", head, 12)[0]
                yield head[20:52], place, length
                place += length
        need(place == end, "the pack's length")


class Run:
    """An index run."""

    def __init__(self, path, keys):
        data = path.read_bytes()
        need(data[:8] == b"TRSRINDX", "not an index run")
        version, _, epoch = unpack_from("<HHI", data, 8)
        need(version == VERSION, f"version {version}")
        need(data[16:32] == keys.store, "a run of another store")
        need(zlib.crc32(data[:64]) == unpack_from("<I", data, 64)[0], "the run's crc32")
        need((len(data) - 68) % PAGE == 0, "the run's length")
        key = keys.of(epoch, data[32:64], b"tresor 0 index")
        count = (len(data) - 68) // PAGE

        def page(number):
            sealed = data[68 + number * PAGE : 68 + (number + 1) * PAGE]
            return opened(key, 2**40 if number == count - 1 else number, sealed, b"")

        self.entries, filters, packs, covers = unpack_from("<QIII", page(count - 1))
        parts = [-(-self.entries // 92), filters]
        parts += [-(-parts[0] // 510), -(-packs // 72), -(-covers // 255), 1]
        need(sum(parts) == count, "the number of pages")
        starts = [sum(parts[:part]) for part in range(6)]

        def rows(part, total, width, each):
            for row in range(total):
                if row % each == 0:
                    body = page(starts[part] + row // each)
                yield body[row % each * width : (row % each + 1) * width]

        self.filters = [page(starts[1] + number) for number in range(filters)]
        self.fences = [unpack_from("<Q", row)[0] for row in rows(2, parts[0], 8, 510)]
        self.packs = [(row[:16].hex(), row[16:48], *unpack_from("<II", row, 48))
                      for row in rows(3, packs, 56, 72)]
        self.covers = [row.hex() for row in rows(4, covers, 16, 255)]
        self.rows = [(row[:32], *unpack_from("<III", row, 32))
                     for row in rows(0, self.entries, 44, 92)]

    def check(self):
        """Order, fences and filter: all that a look-up relies on."""
        ids = [row[0] for row in self.rows]
        need(ids == sorted(ids), "the order of the ids")
        firsts = [int.from_bytes(ids[at][:8], "big") for at in range(0, len(ids), 92)]
        need(firsts == self.fences, "the fences")
        need(len(self.filters) == max(1, -(-self.entries // 3264)), "the pages of filter")
        for name in ids:
            page = self.filters[int.from_bytes(name[:8], "big") * len(self.filters) >> 64]
            for bit in unpack_from("<7H", name, 18):
                bit %= FILTER_BITS
                need(page[bit // 8] >> bit % 8 & 1, "the filter denies an id")


class Store:
    """A folder of objects, opened with a secret."""

    def __init__(self, folder, kind, secret):
        self.folder = Path(folder)
        self.keys = unlock(self.folder, kind, secret)
        self.config = self.read_config()
        self.packs, self.places = {}, {}
        self.runs = [Run(path, self.keys) for path in self.objects("index")]
        for run in self.runs:
            for name, pack, offset, length in run.rows:
                self.places.setdefault(name, []).append((run.packs[pack][0], offset, length))

    def objects(self, name):
        return sorted(path for path in (self.folder / name).rglob("*") if path.is_file())

    def read_config(self):
        data = (self.folder / "config").read_bytes()
        need(data[:8] == b"TRSRCONF", "not a configuration")
        version, _, length = unpack_from("<HHI", data, 8)
        need(version == VERSION, f"version {version}")
        need(data[16:32] == self.keys.store, "the configuration of another store")
        need(len(data) == 32 + length + 32, "the configuration's length")
        key = hkdf(bytes(32), self.keys.first, b"tresor 0 configuration" + self.keys.store)
        need(keyed(key, data[:-32]) == data[-32:], "the configuration's code")
        return json.loads(data[32:-32])

    def record(self, name, kind):
        """The text of a record, which must be of this kind."""
        data = (self.folder / name).read_bytes()
        need(data[:8] == b"TRSRRECD", "not a record")
        version, found, epoch = unpack_from("<HHI", data, 8)
        need(version == VERSION, f"version {version}")
        need(found == kind, f"a record of kind {found}")
        (length,) = unpack_from("<I", data, 48)
        need(len(data) == 52 + length, "the record's length")
        key = self.keys.of(epoch, data[16:48], b"tresor 0 record")
        return json.loads(opened(key, 0, data[52:], self.keys.store + data[:52] + name.encode()))

    def points(self):
        """Every point, checked as the format demands."""
        found = []
        removed = {path.name for path in self.objects("removed")}
        for path in self.objects("points"):
            if path.name in removed or unpack_from("<H", path.read_bytes(), 10) == (VOID,):
                continue
            point = self.record(f"points/{path.name}", POINT)
            shape, root = point["map"], bytes.fromhex(point["root"])
            need(point["key"] == path.name, "the point's key")
            need(root == self.root(shape), "the point's root")
            found.append(point)
        return sorted(found, key=lambda point: (point["time"], point["key"]))

    def root(self, shape):
        top = bytes.fromhex(shape["top"]) if shape["top"] else bytes(32)
        text = shape["size"].to_bytes(8, "little") + shape["window"].to_bytes(4, "little")
        text += bytes([shape["height"], 1 if shape["top"] else 0]) + top
        return keyed(self.keys.root, text)

    def pack(self, name):
        if name not in self.packs:
            self.packs[name] = Pack(self.folder / "packs" / name[:2] / name, self.keys)
        return self.packs[name]

    def load(self, kind, name):
        """The bytes of a chunk (1) or node (2), from the first place that has them."""
        trouble = Damage("no place is known")
        for pack, offset, length in self.places.get(name, []):
            try:
                found, there, text = self.pack(pack).frame(offset, length)
                need(there == name and found == kind, "another frame is there")
                return text
            except (Damage, OSError) as error:
                trouble = error
        raise Damage(f"{name.hex()}: {trouble}")

    def windows(self, shape):
        """Number and leaf of each window that is not all zero."""
        count = -(-shape["size"] // shape["window"])
        height = 0
        while 256**height < count:
            height += 1
        need(shape["height"] == height, "the height")
        if not shape["top"]:
            return
        waiting = [(height, 0, bytes.fromhex(shape["top"]))]
        while waiting:
            level, first, name = waiting.pop()
            node = self.load(2, name)
            need(node[0] == level, "the level")
            if level == 0:
                yield first, node
                continue
            there = [bit for bit in range(256) if node[1 + bit // 8] >> bit % 8 & 1]
            need(len(node) == 33 + 32 * len(there) and there, "the node's length")
            for order, bit in reversed(list(enumerate(there))):
                child = node[33 + 32 * order : 65 + 32 * order]
                waiting.append((level - 1, first + bit * 256 ** (level - 1), child))

    def items(self, leaf, length):
        """Place, length and id (None: a hole) of each item of a leaf."""
        place, at = 1, 0
        while place < len(leaf):
            (word,) = unpack_from("<I", leaf, place)
            hole, size = word >> 31, word & 0x7FFF_FFFF
            need(size > 0, "an item without length")
            yield at, size, None if hole else leaf[place + 4 : place + 36]
            place += 4 if hole else 36
            at += size
        need(at == length and place == len(leaf), "the lengths of a window's items")

    def pieces(self, shape):
        """Place and bytes of every chunk of a map; the rest of the disk is zero."""
        for number, leaf in self.windows(shape):
            start = number * shape["window"]
            length = min(shape["window"], shape["size"] - start)
            need(length > 0, "a window behind the disk's end")
            for at, size, name in self.items(leaf, length):
                if name is not None:
                    text = self.load(1, name)
                    need(len(text) == size, "the length of a chunk")
                    yield start + at, text


def restore(store, key, path):
    """Writes the point to a raw file."""
    point = next((point for point in store.points() if point["key"] == key), None)
    need(point is not None, f"no point {key}")
    with open(path, "wb") as file:
        file.truncate(point["map"]["size"])
        for place, text in store.pieces(point["map"]):
            file.seek(place)
            file.write(text)


def check(store):
    """Everything the format says of this store's bytes; returns what was looked at."""
    seen = {"runs": 0, "frames": 0, "points": 0, "windows": 0}
    for run in store.runs:
        run.check()
        for name, salt, epoch, size in run.packs:
            pack = store.pack(name)
            need((pack.salt, pack.epoch) == (salt, epoch), "what a run says of a pack")
            need(pack.path.stat().st_size == size, "a pack's size")
        seen["runs"] += 1
    for path in store.objects("packs"):
        need(path.parent.name == path.name[:2], "a pack's folder")
        pack = store.pack(path.name)
        for number, (name, place, length) in enumerate(pack.scan()):
            _, there, _ = pack.frame(place, length)
            need(there == name, "a frame's id")
            seen["frames"] += 1
    for point in store.points():
        check_cuts(store, point["map"], seen)
        seen["points"] += 1
    return seen


def check_cuts(store, shape, seen):
    """Cuts each window again and compares with its leaf."""
    for number, leaf in store.windows(shape):
        start = number * shape["window"]
        length = min(shape["window"], shape["size"] - start)
        items = list(store.items(leaf, length))
        data = b"".join(bytes(size) if name is None else store.load(1, name)
                        for _, size, name in items)
        found = [(size, name is None) for _, size, name in items]
        need(found == cuts(data, store.config, store.keys.cut_seed), f"the cuts of window {number}")
        seen["windows"] += 1


def secret_of(options):
    if options.key_file:
        data = Path(options.key_file).read_bytes()
        return KEY_FILE, data if len(data) == 32 else bytes.fromhex(data.decode().strip())
    if options.recovery_key:
        return RECOVERY_KEY, recovery_key(options.recovery_key)
    return PASSPHRASE, options.passphrase.encode()


def main():
    parser = argparse.ArgumentParser(description="Reads Tresor stores of format 0.")
    parser.add_argument("verb", choices=["list", "restore", "check"])
    parser.add_argument("store")
    parser.add_argument("rest", nargs="*", help="restore: the point and the file to write")
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--key-file")
    secret.add_argument("--recovery-key")
    secret.add_argument("--passphrase")
    options = parser.parse_args()
    try:
        store = Store(options.store, *secret_of(options))
        if options.verb == "list":
            for point in store.points():
                print(json.dumps(point))
        elif options.verb == "restore":
            need(len(options.rest) == 2, "restore needs a point and a file")
            restore(store, *options.rest)
        else:
            print(json.dumps(check(store)))
    except (Damage, OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
