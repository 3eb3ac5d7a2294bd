"""One `tresor serve` process: started, watched, stopped or killed; and what it logged.

Nothing here waits for a fixed time: every wait polls for what it waits for and has a limit.
"""

import json
import os
import pathlib
import shlex
import signal
import subprocess
import tempfile
import time

START_LIMIT = 90.0
STOP_LIMIT = 60.0
POLL = 0.02
NAMES = ("BASE_URL", "TENANT_ID", "CLIENT_ID", "CLIENT_SECRET", "SUBSCRIPTION_ID", "CA_FILE")


def wait_until(condition, limit, what):
    """The first true value of `condition()`; fails when none comes within `limit` seconds."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {limit:.0f} s in vain for {what}")
        time.sleep(POLL)


def binary(name="TRESOR_BIN"):
    """The path of the binary under test, from the environment."""
    path = os.environ.get(name, "")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"set {name} to the path of a tresor binary (got {path!r})")
    return path


class Server:
    """A service on one data folder. It may be started again after it was stopped or killed."""

    def __init__(self, data, config="", program=None):
        self.data = pathlib.Path(data)
        self.data.mkdir(parents=True, exist_ok=True)
        self.program = program or binary()
        self.process = None
        self.settings = None
        self.starts = 0
        self.log_path = None
        self.config = None
        if config:
            self.config = self.data.with_name(self.data.name + ".toml")
            self.config.write_text(config, encoding="ascii")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, error, trace):
        if self.process is None:
            return
        if kind is not None:
            self.kill()
        else:
            self.stop()

    def start(self, failpoints=None, program=None):
        """Starts the process and returns when it is ready for requests."""
        assert self.process is None, "already running"
        self.starts += 1
        self.log_path = self._new_log()
        command = [program or self.program, "serve", "--data", str(self.data),
                   "--listen", "127.0.0.1:0", "--log-format", "json"]
        if self.config:
            command += ["--config", str(self.config)]
        environment = {k: v for k, v in os.environ.items() if k not in NAMES + ("FAILPOINTS",)}
        if failpoints:
            environment["FAILPOINTS"] = failpoints
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env=environment, start_new_session=True)
        try:
            wait_until(self._is_listening, START_LIMIT, "endpoint.json of this process")
            self.settings = self._read_environment()
        except BaseException:
            self.kill()
            raise
        return self

    def _new_log(self):
        """A file for the log: beside the data, or where the whole run keeps its logs."""
        kept = os.environ.get("CLIENT_TEST_LOGS")
        if not kept:
            return self.data.with_name(f"{self.data.name}.{self.starts}.log")
        handle, path = tempfile.mkstemp(".log", f"{self.data.name}.{self.starts}.", kept)
        os.close(handle)
        return pathlib.Path(path)

    def _is_listening(self):
        if self.process.poll() is not None:
            raise AssertionError(
                f"tresor serve ended with {self.process.returncode}:\n{self.log_tail()}")
        try:
            endpoint = json.loads((self.data / "endpoint.json").read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return False
        # An earlier process leaves its file behind when it is killed.
        return endpoint["pid"] == self.process.pid

    def _read_environment(self):
        out = subprocess.run([self.program, "env", "--data", str(self.data)], check=True,
                             capture_output=True, text=True, timeout=30).stdout
        settings = {}
        for word in shlex.split(out, comments=True):
            name, sign, value = word.partition("=")
            if sign:
                settings[name] = value
        missing = [name for name in NAMES if not settings.get(name)]
        assert not missing, f"`tresor env` does not print {missing}"
        return {name: settings[name] for name in NAMES}

    def stop(self):
        """Ends the process as an operator does; it must end by itself, with exit code 0."""
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"not stopped {STOP_LIMIT:.0f} s after SIGTERM") from None
        self.process = None
        assert code == 0, f"exit code {code} after SIGTERM:\n{self.log_tail()}"

    def kill(self):
        """Ends the process as a power cut does."""
        self.process.kill()
        self.process.wait(STOP_LIMIT)
        self.process = None

    def log(self):
        """The records that this process has logged so far (whole lines that are JSON objects)."""
        records = []
        with open(self.log_path, "rb") as file:
            for line in file:
                if line.endswith(b"\n") and line.startswith(b"{"):
                    records.append(json.loads(line))
        return records

    def log_tail(self, lines=40):
        """The last lines of the log, for messages."""
        text = self.log_path.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def find_log(self, **fields):
        """The records whose fields have these values."""
        return [record for record in self.log()
                if all(field(record, name) == value for name, value in fields.items())]

    def wait_log(self, limit=60.0, nth=1, **fields):
        """Waits for the nth record with these field values and returns it."""
        def look():
            assert self.process.poll() is None, f"the service ended:\n{self.log_tail()}"
            return self.find_log(**fields)[nth - 1:]
        try:
            return wait_until(look, limit, f"log record {nth} of {fields}")[0]
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_tail()}") from None

    def packs(self):
        """The pack files of the operational store, the biggest first."""
        files = [path for path in (self.data / "store" / "packs").rglob("*") if path.is_file()]
        return sorted(files, key=lambda path: (-path.stat().st_size, path))


def field(record, name):
    """One field of a log record: of the record itself, of its `fields`, or of its spans."""
    for place in (record, record.get("fields", {}), record.get("span", {}),
                  *record.get("spans", [])):
        if name in place:
            return place[name]
    return None
