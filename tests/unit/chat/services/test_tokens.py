"""B32: what can be done to a JWT."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest

from chat.domain.errors import Unauthenticated
from chat.domain.users import Identity, SessionId, User, UserId
from chat.services.tokens import MAX_TOKEN_BYTES, SigningKey, Tokens

SECRET = b"s" * 32
KEY = SigningKey.of(SECRET)
ALICE = User(UserId("alice-id"), "Alice")
SESSION = SessionId("a-session")
HEADER = {"alg": "HS256", "kid": KEY.id, "typ": "JWT"}


def claims(**changed: Any) -> dict[str, Any]:
    now = time.time()
    every = {"iss": "chat-gateway", "aud": "chat", "sub": "alice-id", "name": "Alice", "sid": "a-session"}
    return every | {"iat": now, "exp": now + 900} | changed


def signed(payload: dict[str, Any] | bytes, *, secret: bytes = SECRET, **header: Any) -> str:
    """A token with any payload, and ours or any other header, signed with HMAC-SHA-256 whatever that says."""
    return signed_under(json.dumps(HEADER | header, separators=(",", ":")).encode(), payload, secret)


def signed_under(head: bytes, payload: dict[str, Any] | bytes, secret: bytes = SECRET) -> str:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    text = b64(head) + b"." + b64(body)
    return (text + b"." + b64(hmac.digest(secret, text, hashlib.sha256))).decode()


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def unsigned(**header: Any) -> str:
    return signed(claims(), **header).rpartition(".")[0] + "."


def test_a_token_says_who_it_was_issued_to() -> None:
    tokens = Tokens([KEY])
    token, expires_in = tokens.issue(ALICE, SESSION)
    identity = tokens.verify(token)
    assert (identity.user, identity.session, expires_in) == (ALICE, SESSION, 900)
    assert 890 < identity.expires - time.time() <= 900
    assert len(token) < 400


def test_an_issued_token_is_a_jwt_to_everybody_else() -> None:
    token, _ = Tokens([KEY]).issue(ALICE, SESSION)
    read = jwt.decode(token, SECRET, algorithms=["HS256"], audience="chat", issuer="chat-gateway")
    assert (read["sub"], read["name"], read["sid"]) == ("alice-id", "Alice", "a-session")
    assert jwt.get_unverified_header(token) == HEADER


def test_a_token_of_another_library_with_our_header_is_accepted() -> None:
    """As those are that an earlier version has issued."""
    token = jwt.encode(claims(), SECRET, "HS256", headers={"kid": KEY.id})
    assert Tokens([KEY]).verify(token).user == ALICE


def test_the_attacks_below_differ_from_a_valid_token() -> None:
    assert Tokens([KEY]).verify(signed(claims())).user == ALICE


ATTACKS = {
    "alg none": unsigned(alg="none"),
    "alg None": unsigned(alg="None"),
    "no alg": unsigned(alg=None),
    "alg none with a signature": signed(claims(), alg="none"),
    "RS256 with the secret as public key": signed(claims(), alg="RS256"),
    "HS512 in the header": signed(claims(), alg="HS512"),
    "HS512 in deed": jwt.encode(claims(), SECRET * 2, "HS512", headers={"kid": KEY.id}),
    "empty signature": unsigned(),
    "no signature at all": unsigned().rstrip("."),
    "truncated signature": signed(claims())[:-4],
    "another key": signed(claims(), secret=b"x" * 32),
    "empty key": signed(claims(), secret=b""),
    "kid unknown": signed(claims(), kid="another"),
    "kid missing": signed(claims(), kid=None),
    "kid a path": signed(claims(), kid="../../../../dev/null", secret=b""),
    "kid SQL": signed(claims(), kid="' UNION SELECT 'x"),
    "kid a url": signed(claims(), kid="https://evil.example/key"),
    "kid of the other key": signed(claims(), kid=SigningKey.of(b"n" * 32).id),
    "header with more in it": signed(claims(), cty="JWT"),
    "header spaced differently": signed_under(json.dumps(HEADER).encode(), claims()),
    "header padded": signed(claims()).replace(".", "=.", 1),
    "signature padded": signed(claims()) + "=",
    "signature with other spare bits": (t := signed(claims()))[:-1] + chr(ord(t[-1]) + 1),
    "signature of another length": signed(claims()) + "AAAA",
    "four parts": signed(claims()) + ".",
    "line break": signed(claims()) + "\n",
    "kid a list": signed(claims(), kid=[KEY.id]),
    "kid a map": signed(claims(), kid={}),
    "jku": signed(claims(), secret=b"x" * 32, jku="https://evil.example/jwks"),
    "x5u": signed(claims(), secret=b"x" * 32, x5u="https://evil.example/cert"),
    "jwk in the header": signed(claims(), secret=b"x" * 32, jwk={"kty": "oct", "k": "eHh4"}),
    "crit": signed(claims(), crit=["exp2"], exp2=1),
    "b64 false": signed(claims(), b64=False, crit=["b64"]),
    "payload changed": ".".join(
        [(p := signed(claims()).split("."))[0], b64(json.dumps(claims(sub="bob")).encode()).decode(), p[2]]
    ),
    "expired": signed(claims(exp=time.time() - 1)),
    "exp a text": signed(claims(exp="tomorrow")),
    "exp infinite": signed(claims(exp=float("inf"))),
    "exp not a number": signed(claims(exp=float("nan"))),
    "exp beyond every number": signed(json.dumps(claims(exp=1)).replace(": 1}", ": 1e999}").encode()),
    "iat a text": signed(claims(iat="now")),
    "not yet valid": signed(claims(nbf=time.time() + 7200)),
    "issued in the future": signed(claims(iat=time.time() + 7200)),
    "wrong issuer": signed(claims(iss="evil")),
    "issuer a list": signed(claims(iss=["chat-gateway"])),
    "wrong audience": signed(claims(aud="another service")),
    "sub a number": signed(claims(sub=7)),
    "sub no id": signed(claims(sub="Alice!")),
    "sub null": signed(claims(sub=None)),
    "name a map": signed(claims(name={})),
    "sid a list": signed(claims(sid=[])),
    "payload a list": signed(b"[]"),
    "payload no JSON": signed(b"{"),
    "payload nests": signed(b"[" * 1500),
    "header nests": f"{b64(b'[' * 2500).decode()}.{b64(b'{}').decode()}.AAAA",
    "header a list": f"{b64(b'[]').decode()}.{b64(b'{}').decode()}.AAAA",
    "empty": "",
    "dots": "..",
    "five parts": "a.b.c.d.e",
    "not ASCII": "ä.ö.ü",
    "lone surrogate": "\ud800.a.b",
    "NUL": "\0",
    "1 MB": "a" * 1_000_000,
    "too long but valid": signed(claims(more="x" * MAX_TOKEN_BYTES)),
} | {f"without {name}": signed({key: value for key, value in claims().items() if key != name}) for name in claims()}


@pytest.mark.parametrize("name", ATTACKS)
def test_b32_no_forged_token_is_accepted_and_all_get_one_answer(name: str) -> None:
    with pytest.raises(Unauthenticated, match=r"^the access token is not valid$"):
        Tokens([KEY]).verify(ATTACKS[name])


def test_b32_two_payload_keys_need_the_signing_key() -> None:
    twice = json.dumps(claims())[:-1] + ', "sub": "bob-id"}'
    with pytest.raises(Unauthenticated):
        Tokens([KEY]).verify(signed(twice.encode(), secret=b"x" * 32))


def test_a_clock_that_differs_by_less_than_a_minute_is_no_attack() -> None:
    assert Tokens([KEY]).verify(signed(claims(iat=time.time() + 30, nbf=time.time() + 30)))


def test_during_a_rotation_both_keys_verify_and_the_first_signs() -> None:
    new = SigningKey.of(b"n" * 32)
    old_token, _ = Tokens([KEY]).issue(ALICE, SESSION)
    rotating = Tokens([new, KEY])
    assert rotating.verify(old_token).user == ALICE

    new_token, _ = rotating.issue(ALICE, SESSION)
    assert Tokens([new]).verify(new_token).user == ALICE
    with pytest.raises(Unauthenticated):
        Tokens([new]).verify(old_token)


def test_a_key_does_not_verify_what_is_signed_by_the_other_under_its_id() -> None:
    new = SigningKey.of(b"n" * 32)
    with pytest.raises(Unauthenticated):
        Tokens([new, KEY]).verify(signed(claims(), kid=new.id))


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [SigningKey.of(b"short")],
        [KEY, SigningKey.of(b"x" * 31)],
        [KEY, KEY],
        [SigningKey.of(bytes([n]) * 32) for n in range(3)],
    ],
    ids=["none", "weak", "second weak", "twice the same", "three"],
)
def test_b32_weak_or_wrong_keys_are_refused_at_the_start(keys: list[SigningKey]) -> None:
    with pytest.raises(ValueError, match="signing key"):
        Tokens(keys)


def test_a_secret_is_not_in_its_keys_representation() -> None:
    assert "sss" not in repr(KEY)
    assert SigningKey.of(SECRET).id == KEY.id


def test_a_resume_token_opens_sockets_only_and_ends_with_the_token_it_was_had_for() -> None:
    tokens = Tokens([KEY])
    who = tokens.verify(tokens.issue(ALICE, SESSION)[0])
    resume = tokens.issue_resume(who, "node-1")
    assert tokens.verify(resume, resume=True) == who
    with pytest.raises(Unauthenticated):
        tokens.verify(resume)
    with pytest.raises(Unauthenticated):
        tokens.verify(tokens.issue_resume(Identity(ALICE, SESSION, time.time() - 1), "node-1"), resume=True)
    assert tokens.verify(tokens.issue(ALICE, SESSION)[0], resume=True).user == ALICE


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_resume_token_is_no_easier_to_forge(attack: str) -> None:
    with pytest.raises(Unauthenticated):
        Tokens([KEY]).verify(ATTACKS[attack], resume=True)
    assert Tokens([KEY]).node_of(ATTACKS[attack], ALICE.id) == ""


def test_the_node_of_a_resume_token_is_told_for_its_user_even_when_it_is_over() -> None:
    tokens = Tokens([KEY])
    over = tokens.issue_resume(Identity(ALICE, SESSION, time.time() - 3600), "node-1")
    assert tokens.node_of(over, ALICE.id) == "node-1"
    assert tokens.node_of(over, UserId("bob-id")) == ""
    assert tokens.node_of(tokens.issue(ALICE, SESSION)[0], ALICE.id) == ""
