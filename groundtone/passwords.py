"""Secrets that are stored as salted scrypt hashes only, and compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import secrets

__all__ = ["hash_password", "new_salt", "password_matches", "salted_hash"]

_COST = {"n": 2**14, "r": 8, "p": 1}  # RFC 7914's interactive use: 16 MiB and some 50 ms per try


def new_salt() -> str:
    """Sixteen random bytes in hex."""
    return secrets.token_hex(16)


def salted_hash(secret: str, salt: str) -> str:
    """scrypt of a secret, in hex; `salt` is hex too."""
    return hashlib.scrypt(secret.encode("utf-8", "surrogatepass"), salt=bytes.fromhex(salt), **_COST).hex()


def hash_password(password: str) -> str:
    """A password's salted hash as one word, for a configuration file."""
    salt = new_salt()
    return f"scrypt-{salt}-{salted_hash(password, salt)}"


def password_matches(password: str, stored: str) -> bool:
    """Whether a password has this hash; a hash that is none matches nothing."""
    kind, _, rest = stored.partition("-")
    salt, _, wanted = rest.partition("-")
    try:
        return kind == "scrypt" and bool(wanted) and hmac.compare_digest(salted_hash(password, salt), wanted)
    except ValueError:  # the salt is no hex
        return False
