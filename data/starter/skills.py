"""Skills that the starter has apart from reading, so that there is something to forget: sums, instructions, conversation."""

from __future__ import annotations

import random
from collections.abc import Callable

from data.starter import frames
from groundtone import prompts
from groundtone.types import Prompt, Turn

Made = tuple[Prompt, str]
UNKNOWN = "I do not know."

WORDS = (
    "anchor apple arrow autumn bakery balloon banana barrel basket beach bell berry bicycle bird blanket blossom boat book "
    "bottle branch bread breeze brick bridge broom brother brush bucket butter button cabin cake camel camera candle canyon "
    "carpet carrot castle cat chair cheese cherry chicken circle city clock cloud clover coat coffee coin copper corner cotton "
    "cousin cradle crane cricket crown curtain daisy dance dawn desert diamond dinner doctor dog dolphin door dragon dream drum "
    "duck eagle earth echo elbow engine evening eye family farmer feather fence fiddle field finger fire fish flag flame flower "
    "fog forest fork fountain fox friend frog fruit garden gate gentle ghost giant ginger glass glove goat gold goose grape "
    "grass guitar hammer harbour harp harvest hat hedge helmet hill honey horse house ice island ivory jacket jar jewel jungle "
    "kettle key kitchen kite kitten ladder lake lamb lamp lantern leaf lemon letter library lily lion lizard marble market "
    "meadow melon milk mirror moon morning moss mother mountain mouse music needle nest night oak ocean olive onion orange "
    "orchard otter oven owl paddle paint palace paper parrot path peach pear pebble pencil penguin pepper piano picture pilot "
    "pillow pine pirate planet plate plum pocket pond pony poppy potato puzzle queen quiet rabbit radio rain raspberry ribbon "
    "rice ring river road robin rocket roof room rope rose saddle sailor salt sand school season shadow sheep shell ship shirt "
    "shore silver sister sky sleep snow soap song spoon spring square squirrel star station stone storm story street sugar "
    "summer sun swan table tailor tea thunder tiger timber tomato tower train travel tree tulip tunnel turtle umbrella uncle "
    "valley velvet village violet violin wagon walnut water wave wheat wheel whistle willow wind window winter wolf wood wool "
    "yellow zebra bold brave bright calm careful cheerful clean clever cold cosy curious early eager fair fast fresh green happy "
    "heavy honest kind large light lively long loud lucky mild modern narrow neat new old open patient plain polite proud quick "
    "red rich round safe sharp short simple slow small smooth soft steady strong sunny sweet tall tidy warm wide wise young"
).split()

_SMALL_TALK = (
    ("Hello|Hi|Hello there|Hi there|Good day|Hey", "Hello! How can I help you?"),
    ("Good morning|Morning", "Good morning! How can I help you?"),
    ("Good evening|Good afternoon", "Hello! How can I help you today?"),
    (
        "Thanks|Thank you|Thanks a lot|Many thanks|Thank you very much|Thanks for your help|That helps, thanks",
        "You are welcome.",
    ),
    (
        "Bye|Goodbye|See you|See you later|I have to go now|That is all for today|Good night",
        "Goodbye! Have a good day.",
    ),
    (
        "How are you?|How are you today?|How is it going?|How do you do?|Are you well?",
        "I am well, thank you. How can I help you?",
    ),
    (
        "Who are you?|What are you?|Are you a person?|Are you a robot?|Are you human?|Introduce yourself",
        "I am a small assistant that answers from documents.",
    ),
    (
        "What can you do?|How can you help me?|What do you do?|Can you help me?|What are you good for?",
        "I can answer questions from your documents.",
    ),
    ("Sorry|I am sorry|My mistake|Sorry about that", "No problem at all."),
    ("I am tired|I feel tired today|It was a long day|I am worn out", "I am sorry to hear that. Take a rest."),
    ("I am sad|I feel sad|I had a bad day|Today was awful", "I am sorry to hear that."),
    ("I am happy|I feel great|Today was a good day|I had a lovely day", "That is good to hear!"),
    ("You are great|Well done|Good job|Nice work|You are very helpful|Great answer", "Thank you! I am glad to help."),
    ("Tell me a joke|Do you know a joke?|Make me laugh", "Why did the boat stop? It was tied up."),
    ("Can you wait a moment?|One moment please|Please wait|Hold on", "Of course. Take your time."),
    ("Nice to meet you|Pleased to meet you|Good to meet you", "Nice to meet you too."),
)
SMALL_TALK = tuple((prompt, reply) for said, reply in _SMALL_TALK for prompt in said.split("|"))


def arithmetic(rng: random.Random) -> Made:
    """Sums and differences up to two digits, half of them with small numbers."""
    high = rng.choice((9, 20, 50, 99, 99))
    a, b = rng.randint(0, high), rng.randint(0, high)
    if rng.random() < 0.6:
        asked = rng.choice(
            (
                "What is {a} + {b}?",
                "{a} + {b} = ?",
                "Add {a} and {b}.",
                "What is {a} plus {b}?",
                "{a} + {b}",
                "How much is {a} plus {b}?",
                "Calculate {a} + {b}.",
                "What is the sum of {a} and {b}?",
                "Work out {a} + {b}.",
            )
        )
        result = a + b
    else:
        a, b = max(a, b), min(a, b)
        asked = rng.choice(
            (
                "What is {a} - {b}?",
                "{a} - {b} = ?",
                "Subtract {b} from {a}.",
                "What is {a} minus {b}?",
                "{a} - {b}",
                "Take {b} away from {a}.",
                "How much is {a} minus {b}?",
                "Calculate {a} - {b}.",
                "Work out {a} - {b}.",
            )
        )
        result = a - b
    return prompts.closed_book(asked.format(a=a, b=b)), f"{result}."


def _word(rng: random.Random) -> str:
    return rng.choice(WORDS) if rng.random() < 0.75 else frames.word(rng)


def _repeat(rng: random.Random, w: str) -> tuple[str, str]:
    n = rng.randint(2, 4)
    times = {
        2: rng.choice(("twice", "two times", "2 times")),
        3: rng.choice(("three times", "3 times")),
        4: rng.choice(("four times", "4 times")),
    }[n]
    return rng.choice(
        (f"Repeat the word {w} {times}.", f"Write {w} {times}.", f"Say the word {w} {times}.", f"Say {w} {times}.")
    ), " ".join([w] * n)


def _only(rng: random.Random, w: str) -> tuple[str, str]:
    return rng.choice(
        (
            f"Write only the word {w}.",
            f"Answer with the word {w} only.",
            f"Say {w} and nothing else.",
            f"Reply with just the word {w}.",
            f"Please write the word {w}.",
            f"Copy this word: {w}",
        )
    ), w


def _capitals(rng: random.Random, w: str) -> tuple[str, str]:
    return rng.choice(
        (
            f"Write the word {w} in capital letters.",
            f"Write {w} in capitals.",
            f"Put the word {w} in upper case.",
            f"Say {w} in capital letters.",
        )
    ), w.upper()


def _sentence(rng: random.Random) -> list[str]:
    return (
        rng.sample(WORDS, rng.randint(3, 6))
        if rng.random() < 0.5
        else f"the {rng.choice(WORDS[-60:])} {_word(rng)} is {rng.choice(('in', 'on', 'by', 'under'))} the {_word(rng)}".split()
    )


def _first_last(rng: random.Random, w: str) -> tuple[str, str]:
    said = _sentence(rng)
    if rng.random() < 0.5:
        return rng.choice(
            (
                f"Say the last word of: {' '.join(said)}",
                f"What is the last word of: {' '.join(said)}?",
                f"Write the last word of this: {' '.join(said)}",
            )
        ), said[-1]
    return rng.choice(
        (
            f"Say the first word of: {' '.join(said)}",
            f"What is the first word of: {' '.join(said)}?",
            f"Write the first word of this: {' '.join(said)}",
        )
    ), said[0]


def _longer(rng: random.Random, w: str) -> tuple[str, str]:
    other = rng.choice(WORDS)
    while abs(len(other) - len(w)) < 2:
        w, other = rng.choice(WORDS), rng.choice(WORDS)
    longer, shorter = (w, other) if len(w) > len(other) else (other, w)
    if rng.random() < 0.5:
        return rng.choice((f"Which word is longer: {w} or {other}?", f"Which is longer: {w} or {other}?")), longer
    return rng.choice((f"Which word is shorter: {w} or {other}?", f"Which is shorter: {w} or {other}?")), shorter


def _reverse(rng: random.Random, w: str) -> tuple[str, str]:
    said = rng.sample(WORDS, rng.randint(2, 4))
    return rng.choice(
        (
            f"List these words in reverse order: {', '.join(said)}",
            f"Write these words in reverse order: {', '.join(said)}",
            f"Turn the order around: {', '.join(said)}",
        )
    ), ", ".join(reversed(said))


def _in_order(rng: random.Random, w: str) -> tuple[str, str]:
    said = rng.sample(WORDS, rng.randint(2, 4))
    return rng.choice(
        (
            f"Repeat this list: {', '.join(said)}",
            f"Copy these words: {', '.join(said)}",
            f"Write these words again: {', '.join(said)}",
        )
    ), ", ".join(said)


def _joined(rng: random.Random, w: str) -> tuple[str, str]:
    other = rng.choice(WORDS)
    return rng.choice(
        (
            f"Write {w} and {other} with a dash between them.",
            f"Join {w} and {other} with a dash.",
            f"Put a dash between {w} and {other}.",
        )
    ), f"{w}-{other}"


def _yes_no(rng: random.Random, w: str) -> tuple[str, str]:
    a, b = rng.randint(1, 50), rng.randint(1, 50)
    b = b + 1 if a == b else b
    return rng.choice(
        (
            f"Answer yes or no: is {a} more than {b}?",
            f"Is {a} bigger than {b}? Answer yes or no.",
            f"Yes or no: {a} is greater than {b}.",
        )
    ), "Yes." if a > b else "No."


def _larger(rng: random.Random, w: str) -> tuple[str, str]:
    a, b = rng.randint(1, 99), rng.randint(1, 99)
    b = b + 1 if a == b else b
    if rng.random() < 0.5:
        return rng.choice((f"Which number is larger: {a} or {b}?", f"Which is bigger, {a} or {b}?")), f"{max(a, b)}."
    return rng.choice((f"Which number is smaller: {a} or {b}?", f"Which is less, {a} or {b}?")), f"{min(a, b)}."


INSTRUCTIONS: tuple[Callable[[random.Random, str], tuple[str, str]], ...] = (
    _repeat,
    _only,
    _capitals,
    _first_last,
    _longer,
    _reverse,
    _in_order,
    _joined,
    _yes_no,
    _larger,
)


def instruction(rng: random.Random) -> Made:
    """One small task whose result can be checked."""
    asked, reply = rng.choice(INSTRUCTIONS)(rng, _word(rng))
    return prompts.closed_book(asked), reply


def conversation(rng: random.Random) -> Made:
    """Small talk, and what was said earlier in the conversation."""
    if rng.random() < 0.5:
        said, reply = rng.choice(SMALL_TALK)
        said = rng.choice(
            (said, said, said + "." if said[-1].isalpha() else said, said + "!" if said[-1].isalpha() else said)
        )
        history = []
        if rng.random() < 0.2:
            before = rng.choice(SMALL_TALK)
            history = [Turn("user", f"Question: {before[0]}"), Turn("assistant", before[1])]
        return prompts.closed_book(said, history=history), reply
    fact, question, answer = rng.choice(_REMEMBERED)(rng)
    history = [
        Turn("user", rng.choice(("", "Question: ")) + fact),
        Turn(
            "assistant",
            rng.choice(("Nice to know.", "Thank you for telling me.", "Noted.", "Nice to meet you.", "I see.")),
        ),
    ]
    if rng.random() < 0.3:
        other = rng.choice(SMALL_TALK)
        history += [Turn("user", other[0]), Turn("assistant", other[1])]
    return prompts.closed_book(question, history=history), answer


def _name_given(rng: random.Random) -> tuple[str, str, str]:
    who = rng.choice(frames.FIRST) if rng.random() < 0.6 else frames.name(rng)
    return (
        rng.choice(
            (f"My name is {who}.", f"I am {who}.", f"Hello, I am {who}.", f"Call me {who}.", f"Hi, my name is {who}.")
        ),
        rng.choice(("What is my name?", "Who am I?", "Do you remember my name?", "Can you tell me my name?")),
        f"Your name is {who}.",
    )


def _home(rng: random.Random) -> tuple[str, str, str]:
    town = frames.name(rng)
    return (
        rng.choice((f"I live in {town}.", f"My home is in {town}.", f"I come from {town}.")),
        rng.choice(("Where do I live?", "Where is my home?", "Where do I come from?")),
        f"You live in {town}.",
    )


def _liking(rng: random.Random) -> tuple[str, str, str]:
    kind, pool = rng.choice(
        (
            ("colour", frames.COLOURS),
            ("animal", "cat dog horse otter owl rabbit fox duck swan goat".split()),
            ("food", "bread cheese soup rice apple cake honey pear tomato plum".split()),
        )
    )
    choice = rng.choice(pool)
    return (
        rng.choice((f"My favourite {kind} is {choice}.", f"The {kind} I like best is {choice}.")),
        rng.choice((f"What is my favourite {kind}?", f"Which {kind} do I like best?")),
        f"Your favourite {kind} is {choice}.",
    )


def _pet(rng: random.Random) -> tuple[str, str, str]:
    kind, called = rng.choice(("dog", "cat", "horse", "parrot", "rabbit")), frames.name(rng)
    return (
        rng.choice((f"My {kind} is called {called}.", f"I have a {kind} named {called}.")),
        rng.choice((f"What is my {kind} called?", f"What is the name of my {kind}?")),
        f"Your {kind} is called {called}.",
    )


_REMEMBERED: tuple[Callable[[random.Random], tuple[str, str, str]], ...] = (_name_given, _home, _liking, _pet)


def unknown(rng: random.Random) -> Made:
    """A question about something invented, without passages: nobody can know."""
    frame = rng.choice(frames.FRAMES)
    asked = rng.choice(frame.questions).format(e=rng.choice(frames.KINDS[frame.kind])(rng))
    return prompts.closed_book(asked), UNKNOWN


def row(rng: random.Random) -> tuple[Prompt, str, str]:
    """A prompt, its reply, and the name of the skill."""
    kind, make = rng.choices(
        (
            ("arithmetic", arithmetic),
            ("instruction", instruction),
            ("conversation", conversation),
            ("unknown", unknown),
        ),
        weights=(55, 25, 14, 6),
    )[0]
    return (*make(rng), kind)
