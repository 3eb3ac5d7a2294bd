"""Raw HTTP to the service with the standard library only, and the asynchronous protocol.

Every answer that passes through here is given to `Wire.check`, if there is one: where the SDK's
models are at hand (module `models`), a test need not ask for their check.
"""

import http.client
import json
import ssl
import time
import urllib.parse

DPP = "2025-07-01"
ARTICLE = "2021-01-01"
COMPUTE = "2024-03-02"
GROUPS = "2021-04-01"
ROLES = "2022-04-01"
TIMEOUT = 60.0
JOB_LIMIT = 180.0
OWN = object()


class Reply:
    """One HTTP answer. Header names are looked up without regard to case."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    def json(self):
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self):
        """The code of an error answer (JSON or the storage service's XML), else None."""
        if self.headers.get("content-type", "").startswith("application/json") and self.body:
            error = self.json().get("error")
            return error.get("code") if isinstance(error, dict) else error
        text = self.body.decode("utf-8", "replace")
        if "<Code>" in text:
            return text.split("<Code>")[1].split("</Code>")[0]
        return self.headers.get("x-ms-error-code")

    @property
    def text(self):
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def __repr__(self):
        return f"<{self.status} {self.text[:600]}>"


class Connection:
    """One kept HTTPS connection; for one thread."""

    def __init__(self, base_url, context, timeout=TIMEOUT):
        parts = urllib.parse.urlsplit(base_url)
        self.connection = http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=timeout, context=context)

    def send(self, method, target, headers, body):
        """Sends one request. A refusal that comes before the body has gone is still read."""
        connection = self.connection
        connection.putrequest(method, target)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None or method in ("PUT", "POST", "PATCH"):
            connection.putheader("Content-Length", str(len(body or b"")))
        connection.endheaders()
        try:
            if body:
                connection.send(body)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass
        answer = connection.getresponse()
        return Reply(answer.status, answer.getheaders(), answer.read())

    def close(self):
        """Closes the connection."""
        self.connection.close()


class Wire:
    """A client of one service, as its owner unless a token is given. `agent` is the client's
    name, for tests that keep to the rules of another one."""

    # Given each JSON answer: (url, status, body).
    check = None

    def __init__(self, settings, agent=None):
        self.settings = settings
        self.agent = agent
        self.base = settings["BASE_URL"].rstrip("/")
        self.subscription = settings["SUBSCRIPTION_ID"]
        self.context = ssl.create_default_context(cafile=settings["CA_FILE"])
        self._token = None

    def connect(self):
        """A kept connection of one's own."""
        return Connection(self.base, self.context)

    def post_token(self, path=None, **form):
        """One request to a token endpoint."""
        defaults = {"grant_type": "client_credentials", "scope": f"{self.base}/.default",
                    "client_id": self.settings["CLIENT_ID"],
                    "client_secret": self.settings["CLIENT_SECRET"]}
        form = {k: v for k, v in {**defaults, **form}.items() if v is not None}
        return self.request(
            "POST", path or f"/{self.settings['TENANT_ID']}/oauth2/v2.0/token", token=None,
            body=urllib.parse.urlencode(form).encode(),
            headers={"Content-Type": "application/x-www-form-urlencoded"})

    def token(self):
        """The owner's access token."""
        if self._token is None:
            reply = self.post_token()
            assert reply.status == 200, reply
            self._token = reply.json()["access_token"]
        return self._token

    def request(self, method, url, body=None, api=None, headers=None, token=OWN):
        """One request. `url` is a path or an absolute URL of this service; `body` is JSON
        (dict, list), bytes or None; `api` is added as the api-version."""
        if url.startswith("https://"):
            parts = urllib.parse.urlsplit(url)
            assert f"https://{parts.netloc}" == self.base, f"{url} is not on {self.base}"
            url = urllib.parse.urlunsplit(("", "", parts.path, parts.query, ""))
        if api is not None:
            url += ("&" if "?" in url else "?") + f"api-version={api}"
        sent = {"Accept": "application/json", **(headers or {})}
        if self.agent:
            sent["User-Agent"] = self.agent
        if token is OWN:
            sent["Authorization"] = "Bearer " + self.token()
        elif token is not None:
            sent["Authorization"] = "Bearer " + token
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = self.connect()
        try:
            reply = connection.send(method, url.replace(" ", "%20"), sent, body)
        finally:
            connection.close()
        kind = reply.headers.get("content-type", "")
        if self.check and reply.body and kind.startswith("application/json"):
            self.check(url, reply.status, reply.json())
        return reply

    def get(self, url, api=None, **more):
        """GET that must answer 200; the JSON body."""
        reply = self.request("GET", url, api=api, **more)
        assert reply.status == 200, (url, reply)
        return reply.json()

    def list(self, url, api=None):
        """All items of all pages."""
        items, page, seen = [], self.get(url, api), set()
        while True:
            items += page["value"]
            link = page.get("nextLink")
            if not link:
                return items
            assert link not in seen, f"the page {link} links to itself"
            seen.add(link)
            page = self.get(link)

    def poll(self, url, limit=JOB_LIMIT):
        """Polls an Azure-AsyncOperation URL to its end; the last status document."""
        end = time.monotonic() + limit
        while True:
            reply = self.request("GET", url)
            assert reply.status == 200, (url, reply)
            status = reply.json()
            if status["status"].lower() in ("succeeded", "failed", "canceled"):
                return status
            assert "retry-after" in reply.headers, "a running operation says when to ask again"
            assert time.monotonic() < end, f"still running after {limit:.0f} s: {status}"
            time.sleep(0.02)

    def outcome(self, reply, limit=JOB_LIMIT):
        """The status document of an asynchronous answer; of a synchronous one a made-up one.
        An answer that has only a Location, as a group's DELETE, is for `finish_by_location`."""
        assert reply.status in (200, 201, 202, 204), reply
        url = reply.headers.get("azure-asyncoperation")
        if url:
            return self.poll(url, limit)
        assert reply.status != 202, f"202 without Azure-AsyncOperation: {reply.headers}"
        return {"status": "Succeeded"}

    def finish_by_location(self, reply, limit=JOB_LIMIT):
        """Polls the Location of a 202 to its end, which must be a success; the last answer."""
        assert reply.status == 202 and "azure-asyncoperation" not in reply.headers, reply
        end = time.monotonic() + limit
        while True:
            answer = self.request("GET", reply.headers["location"])
            if answer.status != 202:
                assert answer.status in (200, 204), answer
                return answer
            assert time.monotonic() < end, f"still 202 after {limit:.0f} s: {answer}"
            time.sleep(0.02)

    def finish(self, reply, limit=JOB_LIMIT):
        """As `outcome`, and it must have succeeded."""
        status = self.outcome(reply, limit)
        assert status["status"] == "Succeeded", status
        return status

    def do(self, method, url, body=None, api=None, limit=JOB_LIMIT, **more):
        """One request, asynchronous or not, that must succeed in the end; its first answer."""
        reply = self.request(method, url, body, api, **more)
        assert reply.status in (200, 201, 202, 204), (method, url, reply)
        self.finish(reply, limit)
        return reply

    def start_job(self, url, body, api=DPP):
        """A POST whose operation ends with a job; the job's id."""
        reply = self.request("POST", url, body, api)
        assert reply.status == 202, (url, reply)
        return self.finish(reply)["properties"]["jobId"]

    def wait_job(self, job, api=DPP, limit=JOB_LIMIT):
        """Polls a job to its end; the job."""
        end = time.monotonic() + limit
        while True:
            body = self.get(job, api)
            if body["properties"]["status"] != "InProgress":
                return body
            assert time.monotonic() < end, f"still running after {limit:.0f} s: {body}"
            time.sleep(0.05)
