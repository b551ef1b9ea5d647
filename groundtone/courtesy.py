"""Greetings, thanks and farewells: messages that ask nothing of the documents, so that nothing is searched for them.

A model that may speak freely answers them in its own words as long as it asserts nothing: no number, no name, no
citation. Else, and in the modes that say only what the documents say, a plain reply is given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from groundtone.refusal import is_refusal
from groundtone.strict import without
from groundtone.text import words
from groundtone.values import find_names, find_values

__all__ = ["asserts", "opens_letter", "plain_reply"]

LONGEST_REPLY = 40  # words; what is longer says more than a greeting
_HELLO = (
    r"(?:hi|hello|hey|hiya|howdy|greetings|good (?:morning|afternoon|evening|day))"
    r"(?: (?:there|all|everyone|again|you))?"
    r"|hallo|guten (?:tag|morgen|abend)|moin|bonjour|bonsoir|salut|hola|buenos d[ií]as|buenas tardes|ciao|buongiorno"
    r"|goedemorgen|goedemiddag|olá|bom dia|boa tarde"
)
_THANKS = (
    r"(?:(?:ok|okay|great|perfect|good|no|yes) )?(?:(?:many )?thanks|thank you|thx|cheers)"
    r"(?: (?:a lot|so much|very much|again))?(?: for (?:your|the|all your) (?:help|answer|time))?"
    r"|great|perfect|got it|ok|okay|alright|that helps|well done|danke(?: (?:schön|sehr))?|vielen dank"
    r"|merci(?: beaucoup)?|(?:muchas )?gracias|grazie(?: mille)?|bedankt|dank je|obrigad[oa]"
)
_BYE = (
    r"bye(?: bye)?|goodbye|see you(?: (?:later|soon|tomorrow))?|good night"
    r"|have a (?:nice|good|great|lovely) (?:day|evening|weekend)"
    r"|tschüss|auf wiedersehen|au revoir|adiós|arrivederci|tot ziens"
)
_WELL = (
    r"how are you(?: (?:doing|today))*|how(?:'s| is) it going|how do you do|what's up"
    r"|wie geht(?:'s| es ihnen| es dir)|ça va"
)
_WHO = (
    r"who are you|what are you|what can you do(?: for me)?|how can you help(?: me)?|(?:can|could) you help(?: me)?"
    r"|are you (?:a |an )?(?:human|person|robot|bot|machine|real|ai)|nice to meet you"
)
_REPLIES = (  # the last part of a message that fits decides
    (re.compile(_HELLO), "Hello. What would you like to know from the documents?"),
    (re.compile(_THANKS), "You are welcome."),
    (re.compile(_BYE), "Goodbye."),
    (re.compile(_WELL), "All is well, thank you. What would you like to know from the documents?"),
    (
        re.compile(_WHO),
        "This is an assistant that answers from the documents and says where it read it. What would you like to know?",
    ),
)
_LETTER = re.compile(
    r"(?:hi|hello|hey|dear|good (?:morning|afternoon|evening)|ahoy|thanks?|thank you|best|kind regards|regards|cheers|"
    r"yours|hallo|guten|liebe|viele grüße|danke|bonjour|merci|hola|gracias|ciao|grazie)\b[^.?]{0,60}$",
    re.IGNORECASE,
)


def plain_reply(message: str) -> str:
    """What is said to a message of nothing but courtesies; "" where it may ask something of the documents."""
    parts = [" ".join(re.sub(r"[^\w' ]", " ", part).split()) for part in re.split(r"[.,;!?\n]", message.casefold())]
    replies = [_reply(part) for part in parts if part]
    return replies[-1] if replies and all(replies) else ""


def _reply(part: str) -> str:
    return next((reply for pattern, reply in _REPLIES if pattern.fullmatch(part)), "")


def asserts(reply: str, message: str, *, fixed: Sequence[str] = ()) -> bool:
    """Whether a reply to a courtesy says more than one: a value, a name that nobody used, a citation, a refusal."""
    body = without(reply, fixed)
    allowed = f"{message} {' '.join(fixed)}".casefold()
    return bool(
        not body.strip()
        or is_refusal(body)
        or "[" in body
        or len(words(body)) > LONGEST_REPLY
        or find_values(body)
        or any(name.casefold() not in allowed for name in find_names(body))
    )


def opens_letter(sentence: str) -> bool:
    """Whether a sentence of a letter is its greeting or its close."""
    return bool(_LETTER.match(sentence)) and "?" not in sentence
