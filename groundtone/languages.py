"""Which script and, for Latin letters, which of a few languages a text is in: coarse, and "unclear" where in doubt."""

from __future__ import annotations

import unicodedata
from collections import Counter

from groundtone.text import words

__all__ = ["answer_language", "language_of", "script_of"]

_COMMON = {
    "English": "the and of to is in you that it for are with this your not be on we can have what how when where who "
    "why does do much many",
    "German": "der die und das ist nicht ein eine zu den mit sie für auf wir es ich sind werden kann was wie wann wo "
    "wer warum welche kostet mein euch lange dauert viel gibt",
    "French": "le la les et est une des vous pour que dans nous pas sur avec du ce votre sont il quel quelle combien "
    "coûte quand comment pourquoi qui où",
    "Spanish": "el la los y es una de que para en por con no su se las del como más usted qué cuál cuánto cuánta "
    "cuándo cómo dónde quién",
    "Italian": "il la di che è un una per non con sono del si le i della nel più vostro come quanto quale quando dove "
    "chi perché costa",
    "Dutch": "de het een en van is niet dat op te we je voor met zijn aan u kan uw er wat hoe wanneer waar wie waarom "
    "hoeveel",
    "Portuguese": "o a os e é um uma de que para em por com não seu se as do como mais você qual quanto quando onde "
    "quem custa",
}
_CLEAR_LEAD = 2  # words; one may be borrowed, or a name
_CLEAR = frozenset(  # nobody borrows these, and no other language here has them
    "ich wann warum welche kostet combien coûte quand pourquoi cuánto cuánta cuándo cómo dónde perché hoeveel "
    "wanneer waarom quem custa".split()
)
_BY_WORD: dict[str, tuple[str, ...]] = {}
for _language, _words in _COMMON.items():
    for _word in _words.split():
        _BY_WORD[_word] = (*_BY_WORD.get(_word, ()), _language)


def script_of(text: str) -> str:
    """The script that most letters are in ("Latin", "Cyrillic", "Cjk" ...), "none" without letters."""
    scripts = Counter(unicodedata.name(c, "UNKNOWN").split()[0].title() for c in text if c.isalpha())
    return scripts.most_common(1)[0][0] if scripts else "none"


def language_of(text: str) -> str:
    """A language by its commonest words where one of them leads, else "unclear"; another script's name for itself."""
    script = script_of(text)
    if script != "Latin":
        return script
    said = words(text)
    votes = Counter(language for word in said for language in _BY_WORD.get(word, ()))
    ranked = votes.most_common(2)
    lead = ranked[0][1] - (ranked[1][1] if len(ranked) == 2 else 0) if ranked else 0
    clear = any(word in _CLEAR and ranked[0][0] in _BY_WORD[word] for word in said)
    return ranked[0][0] if lead >= (1 if clear else _CLEAR_LEAD) else "unclear"


def answer_language(question: str) -> str:
    """What a model is told to answer in: "" for English and wherever that is unclear, as nothing is said then."""
    found = language_of(question)
    if found in ("English", "unclear", "none"):
        return ""
    return found if found in _COMMON else "the language of the question"
