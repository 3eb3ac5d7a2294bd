"""No secret is written down: a journey with every log on, and then everything is searched."""

import base64
import binascii
import urllib.parse

import http2
from journey import Journey, sample
from wire import COMPUTE, GROUPS, Wire


def forms(secret):
    """A secret as text or bytes, in the forms in which it could be written."""
    data = secret.encode() if isinstance(secret, str) else secret
    found = {data, base64.b64encode(data), base64.b64encode(data).rstrip(b"="),
             base64.urlsafe_b64encode(data).rstrip(b"="), binascii.hexlify(data),
             binascii.hexlify(data).upper(), str(list(data)).encode()}
    if isinstance(secret, str):
        found.add(urllib.parse.quote(secret, safe="").encode())
    return found


def key_secrets(folder):
    """The keys in a data folder: whole files, and the lines of those in PEM."""
    for file in sorted((folder / "keys").iterdir()) + sorted((folder / "tls").glob("*key*")):
        data = file.read_bytes()
        if data.startswith(b"-----"):
            for line in data.decode().splitlines()[1:-1]:
                yield file.name, line
        else:
            yield file.name, data
    yield "recovery-key.txt", (folder / "recovery-key.txt").read_text(encoding="ascii").strip()


def used_over_http2(server, token, sas):
    """The same secrets in another protocol, whose library logs other things."""
    parts = urllib.parse.urlsplit(sas)
    with http2.Http2(server.settings["BASE_URL"], server.settings["CA_FILE"]) as connection:
        connection.send(connection.get(1, "/subscriptions?api-version=2022-12-01",
                                       authorization=f"Bearer {token}"))
        assert connection.until(http2.DATA)
        connection.send(connection.get(3, f"{parts.path}?{parts.query}", range="bytes=0-511"))
        assert connection.until(http2.DATA)


def test_no_secret_is_written_down(new_server):
    server = new_server('[log]\nfilter = "trace"\n').start()
    wire = Wire(server.settings)
    journey = Journey(wire)
    secrets = {"client secret": server.settings["CLIENT_SECRET"], "token": wire.token()}
    answers = []

    def ask(*args, **more):
        reply = wire.request(*args, **more)
        answers.append(reply.text)
        return reply

    # Tokens: refused ones too, by form and by header.
    secrets["wrong secret"] = "correct-horse-battery-staple"
    answers.append(wire.post_token(client_secret=secrets["wrong secret"]).text)
    pair = f"{server.settings['CLIENT_ID']}:{server.settings['CLIENT_SECRET']}"
    basic = {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode(),
             "Content-Type": "application/x-www-form-urlencoded"}
    form = urllib.parse.urlencode({"grant_type": "client_credentials",
                                   "scope": f"{wire.base}/.default"}).encode()
    path = f"/{server.settings['TENANT_ID']}/oauth2/v2.0/token"
    reply = wire.request("POST", path, form, headers=basic, token=None)
    assert reply.status == 200, reply
    secrets["second token"] = reply.json()["access_token"]
    secrets["spoilt token"] = wire.token()[:-6] + "AAAAAA"
    assert ask("GET", "/subscriptions", api="2022-12-01",
               token=secrets["spoilt token"]).status == 401
    # Disks, grants, a backup and a restore.
    made = journey.protect(sample(1 << 20))
    journey.backup(made.instance)
    journey.restore(made, journey.points(made.instance)[0]["name"])
    read, write = journey.grant(made.disk), journey.grant(made.disk, "Write")
    assert journey.put_page(write, 0, bytes(512)).status == 201
    for name, sas in (("read signature", read), ("write signature", write)):
        secrets[name] = urllib.parse.parse_qs(urllib.parse.urlsplit(sas).query)["sig"][0]
        ask("GET", sas, token=None, headers={"x-ms-range": "bytes=0-511"})
        ask("GET", sas + "&comp=pagelist", token=None,
            headers={"x-ms-previous-snapshot-url": sas})
        ask("PUT", sas + "&comp=what", b"", token=None)
    used_over_http2(server, wire.token(), read)
    journey.revoke(made.disk)
    ask("GET", read, token=None)
    # Secrets where they do not belong.
    ask("GET", f"/subscriptions?code={secrets['wrong secret']}", api="2022-12-01")
    ask("PUT", f"{made.group}/providers/Microsoft.Compute/disks/d", {
        "location": "westus", "properties": {"creationData": {
            "createOption": "Import", "sourceUri": f"https://h/a?sig={secrets['wrong secret']}"}}},
        COMPUTE)
    ask("DELETE", made.group, api=GROUPS)
    server.stop()

    for name, secret in key_secrets(server.data):
        secrets[f"{name} {len(secrets)}"] = secret
    for name in ("token", "second token"):
        secrets[f"signature of {name}"] = secrets[name].rsplit(".", 1)[1]
    places = {"an answer": "\n".join(answers).encode()}
    files = [server.log_path, *server.data.glob("endpoint.json"),
             *server.data.glob("audit.log*"), *server.data.glob("catalogue.db*")]
    places.update({str(file): file.read_bytes() for file in files})
    assert any(b"TRACE" in text for text in places.values()), "every log is on"
    assert len(places) >= 5 and all(len(text) > 50 for text in places.values()), places.keys()
    leaks = [f"{name} in {place}" for name, secret in secrets.items()
             for place, text in places.items() if any(form in text for form in forms(secret))]
    assert not leaks, leaks
