"""What the invented companies of the starter's training data say: attributes, their values, and many ways to put them.

Each frame is one attribute: statements about an entity {e} with a value {v}, and questions that ask for it. Values and
names are invented anew for every row, so that copying from the passage is the only way to be right.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

Rng = random.Random

ONSETS = "b br c ch cl d dr f fl g gl gr h j k kl l m n p pl pr qu r s sh sk st t th tr v w z".split()
VOWELS = "a e i o u ai ea ee ie oa oo ou".split()
CODAS = "b ck d ft g l ld ll m mp n nd ng nt r rd rk rn s sk st t th x".split() + [""] * 8
FIRST = (
    "Ada Alba Amir Anneke Arlo Asha Bea Bruno Carla Cem Chidi Clara Dara Diego Edda Elif Emil Enzo Esme Farah Femke "
    "Finn Freya Gita Greta Hana Hugo Ida Imani Ines Ivo Jana Jonas Kaya Kofi Lena Leo Lotte Luca Maia Malik Marta Mei "
    "Milo Mina Nadia Nils Noor Olga Omar Otto Pia Priya Quinn Rafa Rosa Runa Samir Selma Sofia Sven Tara Theo Tomas "
    "Uma Vera Viktor Wanda Willem Yara Yusuf Zora"
).split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
COLOURS = (
    "amber black blue copper coral cream green grey ivory navy olive orange red sand silver teal white yellow".split()
)
MATERIALS = "aluminium ash bamboo beech brass canvas cork cotton felt leather linen oak paper rubber steel wool".split()
ROOMS = "archive attic boathouse canteen cellar courtyard gallery garage greenhouse kitchen library lobby loft office studio yard".split()
TOOLS = "brush caliper clamp file gauge hex key ladder lathe level mallet pliers pump ratchet saw spanner torch wrench".split()
THINGS = (
    "badge basket bell blanket boat bottle box brochure camera candle card cart case chair coat cup desk drum engine fan "
    "filter frame glove helmet jacket key kit lamp lantern lock locker map mirror mug pass pump rack radio rope rug "
    "saddle scarf screen shelf sign stove table tent ticket torch towel trolley umbrella van vest wheel"
).split()
QUALITIES = "basic classic city compact coastal daily day evening express family guest harbour heavy junior light long market mountain night premium quiet river short silent spare standard summer travel weekend winter young".split()
ACTIVITIES = (
    "delivery|pickup|repair|rental|storage|cleaning|parking|training|onboarding|insurance|recycling|returns|refunds|billing|"
    "travel|overtime|sick leave|parental leave|study leave|unpaid leave|home office|lost property|visitor access|"
    "key handling|first aid|fire safety|data export|password reset|gift cards|group booking|school visits|warranty|"
    "inspection|calibration|packing|printing|catering|translation|tasting|mentoring|night work|on-call duty"
).split("|")
PLACES = "store workshop warehouse office depot clinic bakery library hotel museum garden cafe school station pier hall market lab".split()
TEAMS = "support|finance|design|people|safety|sales|logistics|quality|events|press|garden|kitchen|night|front desk|data|fleet|repair|welcome".split(
    "|"
)


def word(rng: Rng, syllables: int = 2) -> str:
    """An invented word."""
    return "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(syllables))


def name(rng: Rng) -> str:
    return word(rng, rng.choice((1, 2, 2))).capitalize()


def person(rng: Rng) -> str:
    return f"{rng.choice(FIRST)} {name(rng)}"


def product(rng: Rng) -> str:
    tail = rng.choice(
        (
            "",
            "",
            "",
            " 2",
            " 3",
            " 2S",
            " Lite",
            " Max",
            f" {rng.randint(2, 9)}0",
            f" {rng.randint(1, 9)}00",
            " Mini",
            " Pro",
        )
    )
    return name(rng) + tail


def thing(rng: Rng) -> str:
    return f"the {rng.choice(QUALITIES)} {rng.choice(THINGS)}"


def topic(rng: Rng) -> str:
    return rng.choice((rng.choice(ACTIVITIES), f"{rng.choice(QUALITIES)} {rng.choice(ACTIVITIES)}"))


def place(rng: Rng) -> str:
    kind = rng.choice(PLACES)
    return rng.choice((f"the {name(rng)} {kind}", f"the {rng.choice(QUALITIES)} {kind}", f"the {kind} in {name(rng)}"))


def team(rng: Rng) -> str:
    return f"the {rng.choice(TEAMS)} team"


KINDS: dict[str, tuple[Callable[[Rng], str], ...]] = {
    "item": (product, product, product, thing),
    "topic": (topic,),
    "place": (place,),
    "team": (team,),
    "any": (product, thing, topic, place),
    "person": (person,),
}


def _number(rng: Rng, low: int, high: int) -> str:
    n = rng.randint(low, high)
    return f"{n:,}" if n >= 1000 and rng.random() < 0.6 else str(n)


def money(rng: Rng) -> str:
    amount = rng.choice(
        (
            str(rng.randint(2, 99)),
            _number(rng, 100, 9000),
            f"{rng.randint(1, 99)}.{rng.randint(0, 9)}0",
            f"{rng.randint(1, 99)}.{rng.randint(10, 99)}",
        )
    )
    return rng.choice((f"€{amount}", f"€{amount}", f"${amount}", f"£{amount}", f"{amount} euros", f"EUR {amount}"))


def days(rng: Rng) -> str:
    return f"{rng.randint(2, 90)} {rng.choice(('days', 'days', 'working days', 'weeks', 'hours', 'months', 'calendar days'))}"


def span(rng: Rng) -> str:
    return rng.choice(
        (
            days(rng),
            f"{rng.choice(('two', 'three', 'four', 'five', 'six', 'ten', 'twelve'))} {rng.choice(('days', 'weeks', 'months', 'years'))}",
            f"{rng.randint(2, 12)} years",
            f"{rng.randint(2, 5)} to {rng.randint(6, 14)} days",
        )
    )


def clock(rng: Rng) -> str:
    return rng.choice(
        (
            f"{rng.randint(5, 22)}:{rng.choice(('00', '15', '30', '45'))}",
            f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}",
            f"{rng.randint(6, 12)}.{rng.choice(('00', '30'))}",
        )
    )


def date(rng: Rng) -> str:
    d, m, y = rng.randint(1, 28), rng.choice(MONTHS), rng.randint(1950, 2032)
    return rng.choice((f"{d} {m} {y}", f"{d} {m}", f"{m} {d}", f"{m} {y}"))


def measure(*units: str, low: int = 2, high: int = 400) -> Callable[[Rng], str]:
    def value(rng: Rng) -> str:
        n = rng.choice((str(rng.randint(low, high)), f"{rng.randint(1, 40)}.{rng.randint(1, 9)}"))
        return f"{n} {rng.choice(units)}"

    return value


def mail(rng: Rng) -> str:
    return f"{rng.choice((word(rng), rng.choice(TEAMS).replace(' ', ''), 'hello', 'help', 'office'))}@{word(rng)}.{rng.choice(('example', 'com', 'org', 'net'))}"


def phone(rng: Rng) -> str:
    return rng.choice(
        (
            f"0{rng.randint(10, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}",
            f"+{rng.randint(20, 98)} {rng.randint(100, 999)} {rng.randint(100000, 999999)}",
            f"extension {rng.randint(100, 999)}",
        )
    )


def percent(rng: Rng) -> str:
    return f"{rng.randint(1, 95)}{rng.choice(('%', '%', ' %', ' percent'))}"


def code(rng: Rng) -> str:
    return f"{word(rng, 1).upper()[:3]}-{rng.randint(10, 9999)}"


def pick(options: list[str], article: str = "") -> Callable[[Rng], str]:
    return lambda rng: article + rng.choice(options)


def count(low: int, high: int) -> Callable[[Rng], str]:
    return lambda rng: _number(rng, low, high)


@dataclass(frozen=True, slots=True)
class Frame:
    """One attribute: `kind` names the entities it fits, `label` is its column in a table."""

    label: str
    kind: str
    value: Callable[[Rng], str]
    statements: tuple[str, ...]
    questions: tuple[str, ...]


def _frame(label: str, kind: str, value: Callable[[Rng], str], statements: str, questions: str) -> Frame:
    return Frame(
        label,
        kind,
        value,
        tuple(s.strip() for s in statements.split("|")),
        tuple(q.strip() for q in questions.split("|")),
    )


FRAMES: tuple[Frame, ...] = (
    _frame(
        "price",
        "any",
        money,
        "{e} costs {v}|The price of {e} is {v}|You pay {v} for {e}|We sell {e} for {v}|{e} is priced at {v}|The list price of {e} is {v} including tax",
        "How much is {e}?|What does {e} cost?|What is the price of {e}?|What do I pay for {e}?|price of {e}?",
    ),
    _frame(
        "deposit",
        "any",
        money,
        "The deposit for {e} is {v}|{e} needs a deposit of {v}|A deposit of {v} is held for {e}|We ask for {v} as a deposit on {e}",
        "How high is the deposit for {e}?|What deposit do I leave for {e}?|How much deposit does {e} need?",
    ),
    _frame(
        "late fee",
        "any",
        money,
        "The late fee for {e} is {v}|Being late with {e} costs {v}|A late charge of {v} applies to {e}",
        "What is the late fee for {e}?|How much do I pay if I am late with {e}?|What does lateness cost for {e}?",
    ),
    _frame(
        "monthly fee",
        "any",
        money,
        "{e} costs {v} a month|The monthly fee for {e} is {v}|Members pay {v} per month for {e}",
        "What is the monthly fee for {e}?|How much is {e} per month?|What do members pay each month for {e}?",
    ),
    _frame(
        "weight",
        "item",
        measure("kg", "g", "grams", "kilograms"),
        "{e} weighs {v}|The weight of {e} is {v}|{e} has a weight of {v}|Without its cover {e} weighs {v}",
        "How heavy is {e}?|What does {e} weigh?|What is the weight of {e}?",
    ),
    _frame(
        "load",
        "item",
        measure("kg", "kilograms"),
        "{e} carries up to {v}|The maximum load of {e} is {v}|You may load {e} with {v}|{e} is rated for {v} of cargo",
        "How much can {e} carry?|What is the maximum load of {e}?|What load is {e} rated for?|How much cargo fits on {e}?",
    ),
    _frame(
        "range",
        "item",
        measure("km", "miles"),
        "{e} has a range of {v}|The range of {e} is {v}|{e} goes {v} on one charge|On a full charge {e} covers {v}",
        "How far does {e} go?|What is the range of {e}?|How far can I travel with {e} on one charge?",
    ),
    _frame(
        "top speed",
        "item",
        measure("km/h", "mph", high=90),
        "The top speed of {e} is {v}|{e} reaches {v}|{e} is limited to {v}",
        "How fast is {e}?|What is the top speed of {e}?|What speed does {e} reach?",
    ),
    _frame(
        "length",
        "item",
        measure("cm", "m", "mm", "metres"),
        "{e} is {v} long|The length of {e} is {v}|{e} measures {v} from end to end",
        "How long is {e}?|What is the length of {e}?|What does {e} measure?",
    ),
    _frame(
        "capacity",
        "item",
        measure("litres", "Wh", "ml", high=900),
        "{e} holds {v}|The capacity of {e} is {v}|{e} stores {v}",
        "How much does {e} hold?|What is the capacity of {e}?|How much can {e} store?",
    ),
    _frame(
        "charging time",
        "item",
        measure("hours", "minutes", high=90),
        "{e} charges in {v}|A full charge of {e} takes {v}|The charging time of {e} is {v}",
        "How long does {e} take to charge?|What is the charging time of {e}?|When is {e} fully charged?",
    ),
    _frame(
        "torque",
        "item",
        measure("Nm", high=60),
        "Tighten {e} to {v}|The torque for {e} is {v}|{e} is tightened with {v}",
        "What torque does {e} need?|How tight should {e} be?|To what torque do I tighten {e}?",
    ),
    _frame(
        "pressure",
        "item",
        measure("bar", "psi", high=90),
        "Keep {e} at {v}|The right pressure for {e} is {v}|{e} is pumped to {v}",
        "What pressure does {e} need?|How hard do I pump {e}?|What is the right pressure for {e}?",
    ),
    _frame(
        "service interval",
        "item",
        measure("km", "months", "weeks", "hours", high=3000),
        "{e} is serviced every {v}|Book a service for {e} after {v}|The service interval of {e} is {v}",
        "How often is {e} serviced?|When does {e} need a service?|What is the service interval of {e}?",
    ),
    _frame(
        "colour",
        "item",
        pick(COLOURS),
        "{e} comes in {v}|The colour of {e} is {v}|{e} is painted {v}|We deliver {e} in {v} only",
        "What colour is {e}?|Which colour does {e} come in?|How is {e} painted?",
    ),
    _frame(
        "material",
        "item",
        pick(MATERIALS),
        "{e} is made of {v}|We build {e} from {v}|The body of {e} is {v}",
        "What is {e} made of?|Which material is used for {e}?|What do you build {e} from?",
    ),
    _frame(
        "supplier",
        "item",
        name,
        "{e} is supplied by {v}|{v} makes {e} for us|We buy {e} from {v}|The supplier of {e} is {v}",
        "Who supplies {e}?|Who makes {e}?|Where do we buy {e}?|Which company supplies {e}?",
    ),
    _frame(
        "article code",
        "item",
        code,
        "The article code of {e} is {v}|{e} is listed as {v}|Order {e} under the code {v}",
        "What is the article code of {e}?|Under which code do I order {e}?|How is {e} listed?",
    ),
    _frame(
        "warranty",
        "item",
        span,
        "{e} has a warranty of {v}|The warranty on {e} lasts {v}|We guarantee {e} for {v}",
        "How long is the warranty on {e}?|What warranty does {e} have?|For how long do you guarantee {e}?",
    ),
    _frame(
        "return window",
        "item",
        days,
        "{e} can be returned within {v}|You may send {e} back within {v}|Returns of {e} are accepted for {v}",
        "How long can I return {e}?|Until when can I send {e} back?|What is the return window for {e}?",
    ),
    _frame(
        "delivery time",
        "item",
        span,
        "{e} is delivered within {v}|Delivery of {e} takes {v}|{e} arrives after {v}|Allow {v} for the delivery of {e}",
        "How long does delivery of {e} take?|When will {e} arrive?|What is the delivery time of {e}?",
    ),
    _frame(
        "duration",
        "topic",
        span,
        "{e} takes {v}|{e} lasts {v}|Plan {v} for {e}|The time allowed for {e} is {v}",
        "How long does {e} take?|How long does {e} last?|How much time is planned for {e}?",
    ),
    _frame(
        "notice",
        "topic",
        days,
        "Requests for {e} need {v} of notice|Ask for {e} at least {v} ahead|The notice period for {e} is {v}|{e} must be booked {v} in advance",
        "How much notice does {e} need?|How early must I ask for {e}?|What is the notice period for {e}?|How far in advance is {e} booked?",
    ),
    _frame(
        "deadline",
        "topic",
        date,
        "The deadline for {e} is {v}|{e} must be done by {v}|Hand in papers for {e} before {v}",
        "What is the deadline for {e}?|By when must {e} be done?|When are papers for {e} due?",
    ),
    _frame(
        "start",
        "topic",
        date,
        "{e} starts on {v}|The rules for {e} apply from {v}|{e} has been offered since {v}",
        "When does {e} start?|Since when is {e} offered?|From when do the rules for {e} apply?",
    ),
    _frame(
        "contact",
        "topic",
        person,
        "{v} looks after {e}|Ask {v} about {e}|The contact for {e} is {v}|{v} is in charge of {e}|Questions on {e} go to {v}",
        "Who looks after {e}?|Who is in charge of {e}?|Whom do I ask about {e}?|Who is the contact for {e}?",
    ),
    _frame(
        "approver",
        "topic",
        person,
        "{v} approves {e}|{e} is signed off by {v}|Approval for {e} comes from {v}",
        "Who approves {e}?|Who signs off {e}?|Whose approval does {e} need?",
    ),
    _frame(
        "form",
        "topic",
        code,
        "Use form {v} for {e}|{e} is requested with form {v}|The form for {e} is {v}",
        "Which form is used for {e}?|What form do I need for {e}?|How is {e} requested?",
    ),
    _frame(
        "budget",
        "topic",
        money,
        "The budget for {e} is {v}|We spend up to {v} on {e}|{e} is covered up to {v}|Each person may claim {v} for {e}",
        "What is the budget for {e}?|How much can I claim for {e}?|Up to what amount is {e} covered?",
    ),
    _frame(
        "discount",
        "topic",
        percent,
        "Members get {v} off {e}|The discount on {e} is {v}|We take {v} off the price of {e}",
        "What discount is there on {e}?|How much off do members get on {e}?|How big is the discount on {e}?",
    ),
    _frame(
        "share",
        "topic",
        percent,
        "The company pays {v} of {e}|We cover {v} of the cost of {e}|{v} of {e} is paid by us",
        "What share of {e} is paid?|How much of {e} does the company pay?|What part of {e} do we cover?",
    ),
    _frame(
        "minimum age",
        "topic",
        measure("years", low=6, high=30),
        "The minimum age for {e} is {v}|You must be at least {v} old for {e}",
        "What is the minimum age for {e}?|How old must I be for {e}?|From what age is {e} open?",
    ),
    _frame(
        "group size",
        "topic",
        count(2, 60),
        "{e} is open to groups of up to {v} people|At most {v} people can join {e}|The group size for {e} is {v}",
        "How many people can join {e}?|What is the group size for {e}?|For how many people is {e}?",
    ),
    _frame(
        "allowance",
        "topic",
        lambda rng: f"{rng.randint(2, 40)} days",
        "Everyone gets {v} of {e} a year|Staff receive {v} of {e}|The yearly allowance for {e} is {v}|You are entitled to {v} of {e}",
        "How many days of {e} do I get?|What is the yearly allowance for {e}?|How much {e} do staff receive?|How many days of {e} am I entitled to?",
    ),
    _frame(
        "meeting day",
        "team",
        pick(WEEKDAYS),
        "{e} meets on {v}|The weekly meeting of {e} is on {v}|{e} gathers every {v}",
        "When does {e} meet?|On which day does {e} meet?|Which day is the meeting of {e}?",
    ),
    _frame(
        "head",
        "team",
        person,
        "{v} leads {e}|The head of {e} is {v}|{e} is led by {v}|{e} reports to {v}",
        "Who leads {e}?|Who is the head of {e}?|To whom does {e} report?",
    ),
    _frame(
        "size",
        "team",
        count(2, 90),
        "{e} has {v} people|{v} people work in {e}|There are {v} members in {e}",
        "How many people are in {e}?|How big is {e}?|How many members does {e} have?",
    ),
    _frame(
        "response time",
        "team",
        days,
        "{e} answers within {v}|A reply from {e} takes {v}|{e} responds in {v}",
        "How fast does {e} answer?|How long until {e} replies?|What is the response time of {e}?",
    ),
    _frame(
        "room",
        "team",
        pick(ROOMS, "the "),
        "{e} sits in {v}|You find {e} in {v}|The desk of {e} is in {v}",
        "Where does {e} sit?|Where do I find {e}?|In which room is {e}?",
    ),
    _frame(
        "email",
        "team",
        mail,
        "Write to {e} at {v}|The address of {e} is {v}|{e} can be reached at {v}",
        "What is the email address of {e}?|Where do I write to {e}?|How can {e} be reached?",
    ),
    _frame(
        "phone",
        "place",
        phone,
        "The phone number of {e} is {v}|Call {e} on {v}|You can ring {e} on {v}",
        "What is the phone number of {e}?|Which number do I call for {e}?|How do I ring {e}?",
    ),
    _frame(
        "opening time",
        "place",
        clock,
        "{e} opens at {v}|Doors of {e} open at {v}|On weekdays {e} opens at {v}",
        "When does {e} open?|At what time does {e} open?|What is the opening time of {e}?",
    ),
    _frame(
        "closing time",
        "place",
        clock,
        "{e} closes at {v}|{e} shuts its doors at {v}|Last entry to {e} is at {v}",
        "When does {e} close?|Until what time is {e} open?|When is last entry to {e}?",
    ),
    _frame(
        "closed day",
        "place",
        pick(WEEKDAYS),
        "{e} is closed on {v}|{e} rests on {v}|There is no service at {e} on {v}",
        "On which day is {e} closed?|When is {e} shut?|Which day does {e} rest?",
    ),
    _frame(
        "manager",
        "place",
        person,
        "{v} runs {e}|The manager of {e} is {v}|{e} is managed by {v}|{v} has managed {e} since spring",
        "Who runs {e}?|Who is the manager of {e}?|Who manages {e}?",
    ),
    _frame(
        "seats",
        "place",
        count(4, 900),
        "{e} seats {v} guests|There is room for {v} people at {e}|{e} holds {v} visitors",
        "How many people fit into {e}?|How many guests does {e} seat?|How many visitors does {e} hold?",
    ),
    _frame(
        "founded",
        "place",
        lambda rng: str(rng.randint(1850, 2025)),
        "{e} was founded in {v}|{e} opened its doors in {v}|{e} has existed since {v}",
        "When was {e} founded?|In which year did {e} open?|Since when does {e} exist?",
    ),
    _frame(
        "address",
        "place",
        lambda rng: f"{rng.randint(1, 140)} {name(rng)} {rng.choice(('Street', 'Lane', 'Quay', 'Road', 'Square'))}",
        "{e} is at {v}|You find {e} at {v}|The address of {e} is {v}",
        "Where is {e}?|What is the address of {e}?|Where do I find {e}?",
    ),
    _frame(
        "tool",
        "item",
        pick(TOOLS, "a "),
        "You open {e} with {v}|{e} is adjusted with {v}|Use {v} on {e}",
        "What tool do I need for {e}?|How do I open {e}?|What is {e} adjusted with?",
    ),
    _frame(
        "storage",
        "item",
        lambda rng: f"{rng.randint(-20, 40)} °C",
        "Store {e} below {v}|{e} is kept at {v}|The storage temperature of {e} is {v}",
        "At what temperature is {e} stored?|How cold should {e} be kept?|What is the storage temperature of {e}?",
    ),
    _frame(
        "location",
        "item",
        pick(ROOMS, "the "),
        "{e} is kept in {v}|You find {e} in {v}|{e} stands in {v}|We store {e} in {v}",
        "Where is {e}?|Where do I find {e}?|Where is {e} kept?|In which room is {e}?",
    ),
    _frame(
        "owner",
        "item",
        person,
        "{e} belongs to {v}|{v} owns {e}|The owner of {e} is {v}|{v} keeps {e}",
        "Who owns {e}?|To whom does {e} belong?|Who keeps {e}?",
    ),
    _frame(
        "home town",
        "person",
        name,
        "{e} lives in {v}|{e} comes from {v}|The home town of {e} is {v}",
        "Where does {e} live?|Where does {e} come from?|What is the home town of {e}?",
    ),
    _frame(
        "job",
        "person",
        pick(
            "accountant baker carpenter cook designer driver editor gardener mechanic nurse painter pilot porter sailor teacher welder".split(),
            "a ",
        ),
        "{e} works as {v}|{e} is {v}|{e} was hired as {v}",
        "What does {e} do?|What is the job of {e}?|As what was {e} hired?",
    ),
    _frame(
        "birthday",
        "person",
        date,
        "{e} was born on {v}|The birthday of {e} is {v}|{e} celebrates on {v}",
        "When was {e} born?|When is the birthday of {e}?|When does {e} celebrate?",
    ),
    _frame(
        "badge",
        "person",
        code,
        "{e} carries the badge {v}|The badge number of {e} is {v}",
        "What is the badge number of {e}?|Which badge does {e} carry?",
    ),
)
