"""Personal data in texts: mail addresses, phone numbers, and bank accounts and cards by their check digits."""

from __future__ import annotations

import re
from typing import Literal

PersonalKind = Literal["mail", "phone", "IBAN", "card"]

_MAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@(?:[\w-]+\.)+[A-Za-z]{2,}")
_IBAN = re.compile(r"(?<![A-Z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Z0-9])")
_CARD = re.compile(r"(?<![\d.,-])\d(?:[ -]?\d){12,18}(?![\d-])")
_PHONE = re.compile(r"(?<![\w.,/-])(?:\+|00|0|\()\(?\d(?:[\s()/.-]{0,2}\d){7,13}(?![\w-])")


def find_personal(text: str) -> list[tuple[PersonalKind, str]]:
    """What looks like personal data, each stretch under one kind; a number that fails its check digits is none."""
    found: list[tuple[PersonalKind, str]] = []
    for kind, pattern in (("IBAN", _IBAN), ("card", _CARD), ("mail", _MAIL), ("phone", _PHONE)):
        for match in list(pattern.finditer(text)):
            value = match.group()
            if (kind == "IBAN" and not is_iban(value)) or (kind == "card" and not is_card(value)):
                continue
            found.append((kind, value))  # type: ignore[arg-type]
            text = text.replace(value, "\x00" * len(value))  # a card's digits are no phone number
    return found


def is_card(text: str) -> bool:
    """Whether the 13 to 19 digits pass Luhn's check (ISO/IEC 7812-1) and are not all one digit."""
    digits = [int(c) for c in text if c.isdecimal()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [d if n % 2 == 0 else (2 * d - 9 if d > 4 else 2 * d) for n, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether the check digits are right (ISO 13616: modulo 97 is 1)."""
    compact = text.replace(" ", "")
    if not 15 <= len(compact) <= 34:
        return False
    return int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
