"""API keys of a project's server: shown once when they are made, stored as salted scrypt hashes, scoped, revocable.

A key reads `gt-ID-SECRET`. The id finds its record; the secret, 256 random bits, is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from groundtone.errors import IntegrityError, ProjectError, UserError
from groundtone.files import now_iso, write_atomic
from groundtone.passwords import new_salt, salted_hash

__all__ = ["Key", "KeyFile"]

SCHEMA_VERSION = 1
_KEY = re.compile(r"gt-([0-9a-f]{8})-([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Key:
    """Who may ask for what: `groups` whose documents are searched as well, `models` as patterns (none: all)."""

    id: str
    name: str
    salt: str
    hash: str
    groups: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    created: str = ""
    revoked: str = ""  # when; "" while the key is valid

    def allows(self, model: str) -> bool:
        """Whether the key may ask for a model id."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)


class KeyFile:
    """The keys in a file, read again whenever it changes, so that a revoked key stops working at once."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] = ()
        self._keys: dict[str, Key] = {}
        self._verified: dict[str, str] = {}  # SHA-256 of a whole key -> its id, so that scrypt runs once per key

    def add(self, name: str, *, groups: Sequence[str] = (), models: Sequence[str] = ()) -> str:
        """Make a key and return it; it cannot be shown again. Raises UserError for a name that is taken."""
        keys = self.listed()
        if not name.strip() or any(key.name == name and not key.revoked for key in keys):
            raise UserError(f"a key needs a name of its own, got {name!r}: choose another or revoke that one first")
        secret, salt = secrets.token_urlsafe(32), new_salt()
        key = Key(secrets.token_hex(4), name, salt, salted_hash(secret, salt), tuple(groups), tuple(models), now_iso())
        self._write([*keys, key])
        return f"gt-{key.id}-{secret}"

    def listed(self) -> list[Key]:
        """Every key that was made, the revoked ones too, oldest first."""
        with self._lock:
            self._refresh()
            return list(self._keys.values())

    def revoke(self, named: str) -> Key:
        """End the validity of the key of that name or id. Raises ProjectError where there is none that is valid."""
        keys = self.listed()
        found = next((key for key in keys if named in (key.name, key.id) and not key.revoked), None)
        if found is None:
            valid = ", ".join(key.name for key in keys if not key.revoked) or "none"
            raise ProjectError(f"there is no valid key {named!r} in {self.path}; valid are: {valid}")
        ended = replace(found, revoked=now_iso())
        self._write([ended if key.id == found.id else key for key in keys])
        return ended

    def verify(self, text: str) -> Key | None:
        """The valid key that the text is; None for anything else. Takes some 50 ms the first time it sees a key."""
        match = _KEY.fullmatch(text)
        digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
        with self._lock:
            self._refresh()
            key = self._keys.get(match[1]) if match else None
            known = key is not None and self._verified.get(digest) == key.id
        if key is None or match is None or key.revoked:
            return None
        if not known and not hmac.compare_digest(salted_hash(match[2], key.salt), key.hash):
            return None
        with self._lock:
            self._verified[digest] = key.id
        return key

    def _refresh(self) -> None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            self._stamp, self._keys, self._verified = (), {}, {}
            return
        stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if stamp == self._stamp:
            return
        try:
            stored = json.loads(self.path.read_text(encoding="utf-8"))
            if stored["schema"] != SCHEMA_VERSION:
                raise ValueError(f"schema {stored['schema']!r}, this version reads {SCHEMA_VERSION}")
            rows = [{**row, "groups": tuple(row["groups"]), "models": tuple(row["models"])} for row in stored["keys"]]
            self._keys = {row["id"]: Key(**row) for row in rows}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{self.path} holds no keys that can be read ({error}): nobody is let in") from error
        self._stamp, self._verified = stamp, {}

    def _write(self, keys: Sequence[Key]) -> None:
        text = json.dumps({"schema": SCHEMA_VERSION, "keys": [asdict(key) for key in keys]}, indent=2)
        write_atomic(self.path, text + "\n")
        os.chmod(self.path, 0o600)
