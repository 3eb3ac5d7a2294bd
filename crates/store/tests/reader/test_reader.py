"""The second reader against stores that the binary made: same points, same bytes, same cuts."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

READER = Path(__file__).with_name("reader.py")
TRESOR = os.environ["TRESOR_BIN"]
WINDOW = 16 << 20


def read(*arguments, fails=False):
    command = [sys.executable, READER, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert (done.returncode != 0) == fails, done.stderr
    assert not fails or done.stderr.startswith("error: "), done.stderr
    return done.stdout if not fails else done.stderr


def tresor(*arguments, passphrase=None):
    env = {name: value for name, value in os.environ.items() if not name.startswith("TRESOR_")}
    if passphrase:
        env["TRESOR_PASSPHRASE"] = passphrase
    command = [TRESOR, "store", *map(str, arguments), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def fill(path, rng, ranges):
    """Blocks that do not compress, that do, that are equal and that are zero."""
    with path.open("r+b") as file:
        for start, end in ranges:
            for at in range(start, end, 4096):
                size, kind = min(4096, end - at), rng.randrange(6)
                file.seek(at)
                if kind < 3:
                    file.write(rng.randbytes(size))
                elif kind == 3:
                    file.write((b"line %d of a file\n" % rng.randrange(50) * 300)[:size])
                elif kind == 4:
                    file.write(bytes(size))


def disk(path, size, rng, ranges):
    with path.open("wb") as file:
        file.truncate(size)
    fill(path, rng, ranges)


def same(left, right):
    assert subprocess.run(["cmp", left, right], timeout=600).returncode == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with disks that grow, shrink, end inside a block and need three levels of map."""
    folder = tmp_path_factory.mktemp("made")
    rng = random.Random(7)
    options = ["--store", folder / "store", "--key-file", folder / "key"]
    recovery = tresor("init", *options)["recovery_key"]
    points, image, parent = {}, folder / "disk", []
    sizes = [5 << 20, (40 << 20) + 512, WINDOW, 0, 257 * WINDOW + 4096]
    for number, size in enumerate(sizes):
        disk(image, size, rng, [])
        ends = [(0, min(size, 6 << 20)), (max(0, size - 70_000), size)]
        fill(image, rng, ends)
        kept = folder / f"disk-{number}"
        subprocess.run(["cp", "--sparse=always", image, kept], check=True)
        point = tresor("backup", image, *options, *parent)["point"]
        points[point], parent = kept, ["--parent", point]
    return folder / "store", folder / "key", recovery, points


def test_all_points_are_listed_and_equal(made, tmp_path):
    store, key, _, points = made
    listed = [json.loads(line) for line in read("list", store, "--key-file", key).splitlines()]
    assert {point["key"] for point in listed} == set(points)
    for point, image in points.items():
        assert next(p for p in listed if p["key"] == point)["size"] == image.stat().st_size
        read("restore", store, point, tmp_path / "out", "--key-file", key)
        same(tmp_path / "out", image)
        os.remove(tmp_path / "out")


def test_every_object_is_as_described(made):
    store, key, _, points = made
    seen = json.loads(read("check", store, "--key-file", key))
    assert seen["points"] == len(points)
    assert seen["runs"] >= 4 and seen["frames"] > 100 and seen["windows"] >= 6


def test_the_recovery_key_opens_and_a_mistyped_one_does_not(made):
    store, _, recovery, points = made
    assert len(read("list", store, "--recovery-key", recovery).splitlines()) == len(points)
    wrong = recovery.translate(str.maketrans({recovery[0]: "Z" if recovery[0] == "2" else "2"}))
    assert "mistyped" in read("list", store, "--recovery-key", wrong, fails=True)


def test_a_passphrase_opens(tmp_path):
    words = "vier w\u00f6rter und m\u00fche"
    image, store = tmp_path / "disk", tmp_path / "store"
    disk(image, 1 << 20, random.Random(3), [(0, 1 << 20)])
    tresor("init", "--store", store, passphrase=words)
    point = tresor("backup", image, "--store", store, passphrase=words)["point"]
    read("restore", store, point, tmp_path / "out", "--passphrase", words)
    same(tmp_path / "out", image)
    read("list", store, "--passphrase", "other words", fails=True)


def test_damage_is_an_error(made, tmp_path):
    store, key, _, points = made
    copy = tmp_path / "store"
    subprocess.run(["cp", "-r", store, copy], check=True)
    rng = random.Random(5)
    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        # The bytes of the reserve mean nothing; each copy of the keys stands for the others.
        if {".staging", "reserve"} & set(path.parts) or path.parent.name == "keys":
            continue
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        whole = path.read_bytes()
        path.write_bytes(data)
        read("check", copy, "--key-file", key, fails=True)
        path.write_bytes(whole)
    assert json.loads(read("check", copy, "--key-file", key))["points"] == len(points)
