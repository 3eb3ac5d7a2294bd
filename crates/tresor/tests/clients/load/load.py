"""Latency and throughput of reads and of the poll path, measured with wrk.

    TRESOR_BIN=target/release/tresor python crates/tresor/tests/clients/load/load.py

It needs wrk (Debian's package of that name) and nothing but Python's standard library. It makes a
service with one real recovery point and then, while the service is down, copies the rows of that
point and of its instance in the catalogue: 10,000 points in one instance, 5,000 instances in one
vault. What is measured is only read. Figures depend on the machine: compare within one run.
"""

import json
import pathlib
import re
import sqlite3
import subprocess
import sys
import tempfile
import types
import uuid

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "python"))
# The models of the SDK are not needed to count requests.
sys.modules["models"] = types.SimpleNamespace(assert_answer=lambda *_: None)

from journey import Journey, name_of  # noqa: E402
from tresor_server import Server  # noqa: E402
from wire import DPP, Wire  # noqa: E402

POINTS, INSTANCES = 10_000, 5_000
SECONDS, CONNECTIONS, ROUNDS = 5, 8, 3
UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
CONFIG = "[rate]\nreads = 0\nwrites = 0\ndeletes = 0\n[log]\nfilter = \"warn\"\n"


def grow(catalogue):
    """Copies the only point and the only instance many times."""
    base = sqlite3.connect(catalogue)
    instance, key, time, record = base.execute(
        "SELECT instance, key, time, record FROM points").fetchone()
    for number in range(1, POINTS):
        point = json.loads(record)
        point["key"] = f"{number:032x}"
        base.execute("INSERT INTO points (instance, key, time, record) VALUES (?, ?, ?, ?)",
                     (instance, point["key"], time - number * 1_000_000_000, json.dumps(point)))
    row = base.execute("SELECT key, kind, version, record FROM resources "
                       "WHERE kind LIKE '%/backupinstances'").fetchone()
    for number in range(1, INSTANCES):
        copy = f"copy-{number:05}"
        path, _, name = row[0].rpartition("/")
        resource = json.loads(row[3])
        own = resource["id"]
        resource["id"] = own[:len(own) - len(name)] + copy
        resource["model"]["value"]["unique_id"] = str(uuid.uuid4())
        base.execute("INSERT INTO resources (key, kind, version, record) VALUES (?, ?, ?, ?)",
                     (f"{path}/{copy}", row[1], row[2], json.dumps(resource)))
    base.commit()
    base.close()


def wrk(url, token):
    """One run: (requests a second, p50, p99 in milliseconds)."""
    out = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "--latency", "-H",
         f"Authorization: Bearer {token}", url],
        check=True, capture_output=True, text=True, timeout=SECONDS + 60).stdout
    if "Non-2xx" in out or "Socket errors" in out:
        raise AssertionError(out)
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    found = [re.search(rf"{share}%\s+([\d.]+)(us|ms|s)", out).groups() for share in (50, 99)]
    return (rate, *(float(number) * UNITS[unit] for number, unit in found))


def median(samples):
    """Of each column."""
    return [sorted(column)[len(column) // 2] for column in zip(*samples)]


def page_url(wire, url, skip):
    """The link to a page far behind the first one."""
    for _ in range(skip):
        url = wire.get(url)["nextLink"]
    return url


def measured(wire, made, operation):
    """(what, URL) of everything that is measured."""
    def url(path):
        return f"{wire.base}{path}?api-version={DPP}"
    points, instances = url(f"{made.instance}/recoveryPoints"), url(f"{made.vault}/backupInstances")
    key = wire.get(points)["value"][0]["name"]
    yield "GET a vault", url(made.vault)
    yield "GET an instance", url(made.instance)
    yield "GET a recovery point", url(f"{made.instance}/recoveryPoints/{key}")
    yield "poll of an ended operation", operation
    yield "recovery points, first page of 10,000", points
    yield "recovery points, a page in the middle", page_url(wire, points, 5)
    yield "instances, first page of 5,000", instances
    yield "instances, a page in the middle", page_url(wire, instances, 3)


def main():
    """Prints a table."""
    with tempfile.TemporaryDirectory(prefix="tresor-load-") as folder:
        server = Server(pathlib.Path(folder) / "data", CONFIG)
        with server:
            journey = Journey(Wire(server.settings))
            made = journey.protect()
            journey.backup(made.instance)
        grow(server.data / "catalogue.db")
        with server:
            wire = Wire(server.settings)
            reply = wire.request("PUT", f"{made.vault}", {
                "location": "westus", "properties": {"storageSettings": [
                    {"datastoreType": "VaultStore", "type": "LocallyRedundant"}]}}, DPP)
            wire.finish(reply)
            urls = list(measured(wire, made, reply.headers["azure-asyncoperation"]))
            samples = {what: [] for what, _ in urls}
            for _ in range(ROUNDS):
                for what, url in urls:
                    samples[what].append(wrk(url, wire.token()))
            sizes = {what: len(wire.request("GET", url).body) for what, url in urls}
    print("| request | answer KiB | requests a second | p50 ms | p99 ms |\n|---|---|---|---|---|")
    for what, found in samples.items():
        rate, half, most = median(found)
        print(f"| {what} | {sizes[what] / 1024:.1f} | {rate:.0f} | {half:.2f} | {most:.2f} |")
    print(f"\n{ROUNDS} rounds of {SECONDS} s, {CONNECTIONS} connections; {name_of(made.vault)}")


if __name__ == "__main__":
    main()
