"""One `tresor serve --ephemeral` process, as a test of somebody's automation starts it."""

import json
import os
import pathlib
import signal
import subprocess
import time
import uuid

from tresor_server import NAMES, START_LIMIT, STOP_LIMIT, binary, wait_until
from wire import Wire

START = "2030-01-01T00:00:00Z"


class Ephemeral:
    """A service for tests. `settings` are those of its ready file."""

    def __init__(self, folder, *more, clock=START, temporary=None):
        self.ready = pathlib.Path(folder) / "ready.json"
        # Kept with the logs of the other tests, from which the table of proofs is made.
        logs = pathlib.Path(os.environ.get("CLIENT_TEST_LOGS") or folder)
        self.log_path = logs / f"ephemeral-{uuid.uuid4()}.log"
        command = [binary(), "serve", "--ephemeral", "--ready-file", str(self.ready),
                   "--log-format", "json", *more]
        if clock:
            command += ["--clock", clock]
        environment = {k: v for k, v in os.environ.items() if k not in NAMES + ("FAILPOINTS",)}
        if temporary:
            environment["TMPDIR"] = str(temporary)
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env=environment, start_new_session=True)
        self.settings = None

    def wait(self):
        """Waits until it listens."""
        wait_until(self._listens, START_LIMIT, "the ready file")
        self.settings = json.loads(self.ready.read_text(encoding="utf-8"))
        assert self.settings["PID"] == str(self.process.pid)
        return self

    def _listens(self):
        code = self.process.poll()
        assert code is None, f"ended with {code}:\n{self.log_path.read_text(encoding='utf-8')}"
        return self.ready.exists()

    @property
    def folder(self):
        """Where it keeps its data."""
        return pathlib.Path(self.settings["DATA_FOLDER"])

    def stop(self, number=signal.SIGTERM):
        """Ends it; it must end by itself, with exit code 0."""
        self.process.send_signal(number)
        code = self.process.wait(STOP_LIMIT)
        assert code == 0, f"exit code {code}:\n{self.log_path.read_text(encoding='utf-8')}"

    def kill(self):
        """Ends it as a power cut does."""
        self.process.kill()
        self.process.wait(STOP_LIMIT)

    def __enter__(self):
        return self.wait()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(STOP_LIMIT)
        self.process.stdout.close()


class Hooks:
    """The hooks of a service, as its owner."""

    def __init__(self, settings):
        self.wire = Wire(settings)

    def post(self, path, body=None, status=200):
        """One POST; the JSON of its answer."""
        reply = self.wire.request("POST", f"/_tresor/{path}", body)
        assert reply.status == status, reply
        return reply.json() if reply.body else None

    def advance(self, **body):
        """Moves the clock on; what it answers when everything due is done."""
        return self.post("clock", body)

    def now(self):
        """What the clock shows."""
        return self.wire.get("/_tresor/clock")["now"]

    def arm(self, operation, code, where="request", times=1):
        """Arms a fault."""
        return self.post("faults", {"operation": operation, "code": code, "where": where,
                                    "times": times}, 201)

    def armed(self):
        """The armed faults."""
        return self.wire.get("/_tresor/faults")["value"]

    def reset(self):
        """Makes the service a clean one; how long that took."""
        began = time.monotonic()
        self.post("reset", status=204)
        return time.monotonic() - began
