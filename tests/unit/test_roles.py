"""What is stored of a password, against the exchange that RFC 7677 gives as its example."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from rag_pgvector import roles

SALT = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
NONCE = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
EXCHANGE = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r={NONCE}".encode()
PROOF = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
SIGNATURE = base64.b64decode("6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")


def test_the_verifier_accepts_the_rfcs_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.urandom", lambda size: SALT[:size])
    kind, salt, keys = roles._verifier("pencil").split("$")
    assert (kind, salt) == ("SCRAM-SHA-256", "4096:W22ZaJ0SNY7soEsUEjb6gQ==")
    stored, server = (base64.b64decode(part) for part in keys.split(":"))
    assert hmac.digest(server, EXCHANGE, "sha256") == SIGNATURE
    signature = hmac.digest(stored, EXCHANGE, "sha256")
    client = bytes(one ^ other for one, other in zip(PROOF, signature, strict=True))
    assert hashlib.sha256(client).digest() == stored


def test_no_two_verifiers_are_alike() -> None:
    assert roles._verifier("pencil") != roles._verifier("pencil")
