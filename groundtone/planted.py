"""Sentences in documents that give orders to the model that reads them, instead of telling people something.

Patterns for what such orders need to say: to set aside what was said, to whom they speak, how every reply has to be,
what to give away. They know seven languages and a little of two more, and are no proof against somebody who knows them;
benchmarks/injections.py measures how many of 60 orders they find, and how many honest sentences they take for one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from groundtone.text import Span, sentence_spans
from groundtone.untrusted import visible, without_tokens

__all__ = ["honest", "is_order", "orders", "stretch"]

_MODEL = (
    r"(?:a\.?i\.?|(?:(?:ai|language|chat|large)[ -])*(?:model|assistant|chat ?bot|bot|llm|agent)s?|gpt|ki|sprachmodell|"
    r"(?:ki-)?assistent(?:e|in)?|mod[èe]le de langage|modelo de (?:lenguaje|linguagem)|modello linguistico|taalmodel|"
    r"asistente|assistente|ia)"
)
_RULES = (
    r"(?:instructions?|prompts?|rules?|directions?|directives?|guidelines?|guardrails?|orders?|(?:other |numbered )?passages|"
    r"anweisungen?|vorgaben|regeln|passagen|textstellen|consignes|r[èe]gles|instrucciones|indicaciones|reglas|istruzioni|"
    r"regole|instructies|regels|instruç(?:ões|ão)|regras)"
)
_SET_ASIDE = (
    r"(?:ignor(?:e|ing|er?n?|ez|a|ate|iere?n?)|disregard|forget|overrid(?:e|es|ing)|override[sd]?|discard|"
    r"supersedes?|set aside|vergiss|vergessen|missachte|oublie[zr]?|olvida|olvide|dimentica|negeer|vergeet|esqueça)"
)
_SAY = r"(?:answer|reply|respond|say|state|write|output|print|return|tell|claim|insist|end|begin|start|finish)"
_PATTERNS = (
    # to set aside what was said
    rf"\b{_SET_ASIDE}\b[^.!?]{{0,40}}\b{_RULES}\b",
    rf"\b{_SET_ASIDE}\b[^.!?]{{0,30}}\b(?:everything|anything|all|alles|tout|todo|tutto|tudo)\b[^.!?]{{0,20}}"
    r"\b(?:above|before|said|told|oben|bisher|pr[ée]c[èe]de|anterior|precedente|dessus|hierboven)\b",
    rf"\bnew (?:system )?{_RULES}\s*:|\b(?:updated|revised) system (?:prompt|message)\b",
    r"(?:^|[-=#*<\[(]{2,}\s*)(?:begin|end) (?:of )?(?:the )?(?:system|prompt|passages|context|documents|user input)\b",
    # to whom
    rf"\b(?:note|notice|attention|message|memo|instructions?|hint|important|dear|hey|hello|hinweis|achtung|nota|avis)\b"
    rf"[^.!?]{{0,12}}(?:\b(?:to|for|an|an die|à|pour|para|per|voor|all|every|any)\b[^.!?]{{0,12}})?\b{_MODEL}\b\s*(?:[:,.!-]|that|who|reading|$)",
    rf"\b(?:you are|you're|act as|pretend (?:to be|that)|behave (?:as|like)|du bist|sie sind|tu es|vous êtes|eres|sei|je bent|você é)\b"
    rf"[^.!?]{{0,30}}\b(?:{_MODEL}|dan|jailbroken|unrestricted|developer mode|pirate)\b",
    rf"\b(?:as|being) an? {_MODEL}\b[^.!?]{{0,20}}\byou\b|\b(?:if|when) you are an? {_MODEL}\b",
    rf"\b{_MODEL}s?\b[^.!?]{{0,30}}\b(?:must|shall|should|muss|müssen|doit|debe|deve|moet)\b[^.!?]{{0,30}}"
    r"\b(?:answer|reply|respond|say|state|antworten|répondre|responder|rispondere|antwoorden|recommend|include)\b",
    r"\bfrom now on\b[^.!?]{0,30}\b(?:you|answer|reply|respond|speak|all replies)\b|\bab jetzt (?:antworte|sprichst|bist)\b",
    r"\b(?:désormais|a partir de ahora|d'ora in poi|vanaf nu|a partir de agora)\b[^.!?]{0,30}"
    r"\b(?:réponds|répondez|responde|rispondi|antwoord|responda|tu|você|je)\b",
    # how every reply has to be
    rf"(?<!can )(?<!may )(?<!to )(?<!will )\b{_SAY}\b[^.!?]{{0,30}}\b(?:(?:every|any|all|each)\s+(?:other\s+|further\s+)?(?:questions?|quer(?:y|ies)|repl(?:y|ies)|answers?|"
    r"responses?|requests?|users?|messages?)|the question)\b",
    rf"(?:^|[,;:-]\s*|\b(?:always|please|must|you|then|and) ){_SAY}\s+(?:only|exactly|solely|nothing but|just|verbatim|in (?:all )?(?:capitals|upper ?case|rhymes?))\b",
    r"(?:^|[,;:-]\s*|\b(?:must|you|then|and) )(?:only|always|instead)\s+(?:answer|reply|respond|say|output|print)\b",
    r"\b(?:your|the|every|each|any)\s+(?:(?:next|final|whole|entire)\s+)?(?:answer|reply|response|output)s?\s+"
    r"(?:must|should|shall|has to|have to|is to|needs to)\b",
    r"\b(?:include|insert|append|add|put|place|repeat|mention)\b[^.!?]{0,60}\b(?:in|to|into|at the (?:end|start) of)\s+"
    r"(?:your|every|each|the|all)\s+(?:final\s+)?(?:answers?|repl(?:y|ies)|responses?|output)\b",
    r"\b(?:do not|don't|never)\s+(?:cite|quote|mention|reveal|tell|use|show|refer to|disclose)\b[^.!?]{0,30}"
    r"\b(?:passages?|the users?|this instruction|these instructions|citations?|sources? in your|the documents?)\b",
    r"\b(?:when|if|whenever)\s+(?:you are |you're )?(?:asked|anyone asks|the user asks|someone asks|a user asks)\b[^.!?]{0,90}"
    r"\b(?:answer|reply|respond|say|claim)\b",
    r"\b(?:tell|inform|assure|convince)\s+the (?:user|asker|person asking)\b",
    r"\b(?:translate|summari[sz]e|rewrite)\s+(?:your|every|all)\s+(?:answers?|repl(?:y|ies)|responses?)\b",
    r"\b(?:antworte|antworten sie|sage|sag|schreibe?)\s+(?:auf (?:jede|alle|diese)|nur|immer|stets|ausschließlich|stattdessen|dem (?:nutzer|benutzer))\b",
    r"\b(?:répond(?:s|ez|re)|dis|dites|écri[st]|écrivez)\s+(?:à (?:toute|chaque|toutes)|uniquement|seulement|toujours|simplement|à l'utilisateur)\b",
    r"\b(?:responde|responda|di|diga|escribe|escreva|contesta)\s+(?:a (?:cada|toda|todas|qualquer)|s[oó]lo|solamente|únicamente|siempre|sempre|apenas|somente|al usuario|ao usuário)\b",
    r"\b(?:rispondi|rispondete|scrivi|di')\s+(?:a (?:ogni|tutte)|solo|soltanto|sempre|all'utente)\b",
    r"\b(?:antwoord|zeg|schrijf)\s+(?:op (?:elke|alle)|alleen|altijd|uitsluitend|de gebruiker)\b",
    # what to give away
    r"\b(?:reveal|print|repeat|show|output|leak|send|disclose|copy|recite|give|verrate|révèle|revela|rivela|revele)\b[^.!?]{0,40}"
    r"\b(?:system prompt|your (?:instructions|prompt|rules|configuration|hidden)|this (?:whole )?conversation|api keys?|passwords? of|"
    r"systemanweisung\w*|instructions système|systeem)",
    r"!\[[^\]]*\]\(\s*https?://[^)\s]*(?:[?&](?:q|question|data|text|secret|answer|log|d)=|\{)",
    # in other scripts
    r"(?:игнорируй|забудь|не учитывай)\w*[^.!?]{0,40}(?:инструкци|указани|правил)|отвеча\w+ (?:только|всегда|на все)|ответь (?:только|на любой)",
    r"(?:忽略|无视|忘记|無視)[^。！？]{0,20}(?:指令|指示|说明|规则|内容|文書)|(?:只|一律|总是)?回答(?:所有|任何)|只(?:能|需|要)?回答",
)
_ORDER = re.compile("|".join(f"(?:{pattern})" for pattern in _PATTERNS), re.IGNORECASE)
_FORGED = re.compile(
    r"^[\s>*_`#<!-]*(?:system|assistant|developer)(?: (?:message|prompt|note))?[*_` ]*:|###\s*(?:system|instruction|response)",
    re.IGNORECASE,
)


@lru_cache(maxsize=16_384)
def is_order(sentence: str) -> bool:
    """Whether a sentence speaks to the model instead of to people."""
    shown = visible(sentence)
    if without_tokens(shown) != shown or _FORGED.search(shown):
        return True
    plain = unicodedata.normalize("NFKC", shown).replace("’", "'")
    return _ORDER.search(" ".join(plain.split())) is not None


@lru_cache(maxsize=4096)
def orders(text: str) -> tuple[Span, ...]:
    """Spans of the sentences that are orders; a passage that is shown again is not read again."""
    return tuple(span for span in sentence_spans(text) if is_order(text[span[0] : span[1]]))


def honest(text: str, spans: Sequence[Span]) -> list[Span]:
    """Those of the spans that hold no part of an order."""
    found = orders(text)
    return [span for span in spans if not any(a < span[1] and span[0] < b for a, b in found)]


def stretch(text: str, span: Span) -> Span:
    """The text around an honest span from the order before it to the order behind it, white space left out."""
    start = max((b for _, b in orders(text) if b <= span[0]), default=0)
    end = min((a for a, _ in orders(text) if a >= span[1]), default=len(text))
    inside = text[start:end]
    return start + len(inside) - len(inside.lstrip()), start + len(inside.rstrip())
