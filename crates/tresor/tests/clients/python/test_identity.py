"""Discovery and sign-in: what clients read before their first request."""

import base64
import json
import time

import jwt
import pytest

from wire import GROUPS


def test_metadata(wire):
    """What `az cloud register` and Terraform read, without a token."""
    reply = wire.request("GET", "/metadata/endpoints", api="2022-09-01", token=None)
    assert reply.status == 200, reply
    body = reply.json()
    assert body["name"] and body["resourceManager"].rstrip("/") == wire.base
    login = body["authentication"]
    assert login["loginEndpoint"].startswith(wire.base)
    assert not login["loginEndpoint"].endswith("/")
    assert login["audiences"] and login["identityProvider"] == "AAD"
    assert login["tenant"] == "common"
    assert isinstance(body["suffixes"], dict)
    assert body["microsoftGraphResourceId"].startswith(wire.base)


@pytest.mark.parametrize("path", [
    "/{tenant}/v2.0/.well-known/openid-configuration",
    "/{tenant}/.well-known/openid-configuration",
    "/adfs/.well-known/openid-configuration",
    "/adfs/v2.0/.well-known/openid-configuration",
    "/adfs/{tenant}/.well-known/openid-configuration",
    "/adfs/{tenant}/v2.0/.well-known/openid-configuration"])
def test_discovery(wire, path):
    tenant = wire.settings["TENANT_ID"]
    body = wire.get(path.format(tenant=tenant), token=None)
    for name in ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"):
        assert body[name].startswith(wire.base + "/"), (name, body)
    token = wire.post_token(body["token_endpoint"]).json()["access_token"]
    assert claims(wire, token, body["jwks_uri"])["tid"] == tenant


@pytest.mark.parametrize("path", [
    "/{tenant}/oauth2/v2.0/token", "/{tenant}/oauth2/token", "/adfs/oauth2/token",
    "/adfs/{tenant}/oauth2/v2.0/token", "/adfs/{tenant}/oauth2/token"])
def test_token_endpoints(wire, path):
    reply = wire.post_token(path.format(tenant=wire.settings["TENANT_ID"]))
    assert reply.status == 200, reply
    body = reply.json()
    assert body["token_type"] == "Bearer" and isinstance(body["expires_in"], int)
    assert body["expires_in"] > 600 and "ext_expires_in" in body
    found = wire.request("GET", "/subscriptions", api="2022-12-01",
                         token=body["access_token"])
    assert found.status == 200, found


def test_every_place_of_the_keys(wire):
    """One set of keys, wherever a client looks for it."""
    tenant = wire.settings["TENANT_ID"]
    found = [wire.get(path, token=None) for path in (
        f"/{tenant}/discovery/v2.0/keys", f"/{tenant}/discovery/keys", "/adfs/discovery/keys",
        f"/adfs/{tenant}/discovery/keys", f"/adfs/{tenant}/discovery/v2.0/keys")]
    assert found[0]["keys"] and all(keys == found[0] for keys in found)


def test_instance_discovery(wire):
    """A client that asks this authority about itself is sent on to its own configuration."""
    reply = wire.get("/common/discovery/instance?api-version=1.1&authorization_endpoint="
                     f"{wire.base}/common/oauth2/v2.0/authorize", token=None)
    shown = wire.get(reply["tenant_discovery_endpoint"], token=None)
    assert shown["token_endpoint"].startswith(wire.base)


def claims(wire, token, keys_url):
    """The claims of a token whose signature verifies with a published key."""
    keys = {key["kid"]: key for key in wire.get(keys_url, token=None)["keys"]}
    header = jwt.get_unverified_header(token)
    key = jwt.PyJWK(keys[header["kid"]], header["alg"])
    return jwt.decode(token, key.key, algorithms=[header["alg"]],
                      options={"verify_aud": False})


def test_claims(wire):
    tenant = wire.settings["TENANT_ID"]
    keys = wire.get(f"/{tenant}/v2.0/.well-known/openid-configuration", token=None)["jwks_uri"]
    found = claims(wire, wire.token(), keys)
    assert found["tid"] == tenant and found["appid"] == wire.settings["CLIENT_ID"]
    assert found["oid"] and found["iss"] and found["aud"]
    assert found["nbf"] - 60 <= time.time() < found["exp"]
    for key in wire.get(keys, token=None)["keys"]:
        assert "d" not in key and "p" not in key, "a private key is published"


@pytest.mark.parametrize("form, status, error", [
    ({"client_secret": "wrong"}, 401, "invalid_client"),
    ({"client_secret": None}, 401, "invalid_client"),
    ({"client_id": "11111111-0000-0000-0000-000000000000"}, 400, "unauthorized_client"),
    ({"grant_type": "password"}, 400, "unsupported_grant_type"),
    ({"grant_type": None}, 400, "invalid_request"),
    ({"scope": "https://elsewhere.example/.default"}, 400, "invalid_scope|invalid_resource"),
])
def test_refused_token_requests(wire, form, status, error):
    reply = wire.post_token(**form)
    assert reply.status in (status, 401 if error == "unauthorized_client" else status), reply
    body = reply.json()
    assert body["error"] in error.split("|") + ["invalid_client"], body
    assert body["error_description"].startswith("AADSTS")
    assert "access_token" not in body


def test_what_clients_add_to_a_token_request_is_ignored(wire):
    path = f"/{wire.settings['TENANT_ID']}/oauth2/v2.0/token?client-request-id=1"
    reply = wire.post_token(path, client_info="1", **{
        "x-client-SKU": "test",
        "claims": json.dumps({"access_token": {"xms_cc": {"values": ["CP1"]}}})})
    assert reply.status == 200, reply


def altered(token, part, change):
    """A token with one part changed."""
    parts = token.split(".")
    padded = parts[part] + "=" * (-len(parts[part]) % 4)
    body = json.loads(base64.urlsafe_b64decode(padded))
    change(body)
    parts[part] = base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")
    return ".".join(parts)


def unsigned(token):
    """A token that claims to need no signature."""
    return altered(token, 0, lambda head: head.update(alg="none")).rsplit(".", 1)[0] + "."


def self_signed(token):
    """A token signed with the published words as if they were a shared secret."""
    found = jwt.decode(token, options={"verify_signature": False})
    header = jwt.get_unverified_header(token)
    return jwt.encode(found, "s" * 32, algorithm="HS256", headers={"kid": header["kid"]})


@pytest.mark.parametrize("spoil", [
    None, lambda t: "", lambda t: "nonsense", lambda t: "a.b.c", lambda t: t[:-8],
    unsigned, self_signed,
    lambda t: altered(t, 1, lambda c: c.update(exp=c["exp"] + 3600)),
    lambda t: altered(t, 1, lambda c: c.update(oid="22222222-2222-2222-2222-222222222222")),
    lambda t: altered(t, 0, lambda h: h.update(kid="other")),
], ids=["none", "empty", "nonsense", "dots", "cut", "unsigned", "self-signed", "longer",
        "other-principal", "other-key"])
def test_bad_tokens(wire, spoil):
    token = spoil(wire.token()) if spoil else None
    reply = wire.request("GET", f"/subscriptions/{wire.subscription}/resourceGroups",
                         api=GROUPS, token=token)
    assert reply.status == 401, reply
    assert reply.code in ("AuthenticationFailed", "InvalidAuthenticationToken",
                          "ExpiredAuthenticationToken"), reply
    challenge = reply.headers["www-authenticate"]
    assert challenge.startswith("Bearer ") and "authorization" in challenge.lower()
