"""Tables that `values` reads numbers and units with: months, weekdays, units, currencies, number words. English."""

from __future__ import annotations

MONTHS = {
    name: number
    for number, names in enumerate(
        "january jan,february feb,march mar,april apr,may,june jun,july jul,august aug,september sept sep,october oct,"
        "november nov,december dec".split(","),
        1,
    )
    for name in names.split()
}
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
UNITS: dict[str, tuple[str, float]] = {
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), ("time", 0.001)),
    **dict.fromkeys(("second", "seconds", "sec", "secs"), ("time", 1.0)),
    **dict.fromkeys(("minute", "minutes", "min", "mins"), ("time", 60.0)),
    **dict.fromkeys(("hour", "hours", "hr", "hrs"), ("time", 3600.0)),
    **dict.fromkeys(("day", "days", "night", "nights"), ("time", 86400.0)),
    **dict.fromkeys(("week", "weeks"), ("time", 604800.0)),
    **dict.fromkeys(("month", "months"), ("months", 1.0)),
    **dict.fromkeys(("year", "years", "yr", "yrs"), ("months", 12.0)),
    **dict.fromkeys(("mm", "millimetre", "millimetres", "millimeters"), ("length", 0.001)),
    **dict.fromkeys(("cm", "centimetre", "centimetres", "centimeters"), ("length", 0.01)),
    **dict.fromkeys(("m", "metre", "metres", "meter", "meters"), ("length", 1.0)),
    **dict.fromkeys(("km", "kilometre", "kilometres", "kilometer", "kilometers"), ("length", 1000.0)),
    **dict.fromkeys(("mile", "miles"), ("length", 1609.344)),
    **dict.fromkeys(("inch", "inches"), ("length", 0.0254)),
    **dict.fromkeys(("foot", "feet", "ft"), ("length", 0.3048)),
    **dict.fromkeys(("km/h", "kph"), ("speed", 1.0)),
    "mph": ("speed", 1.609344),
    **dict.fromkeys(("g", "gram", "grams"), ("mass", 0.001)),
    **dict.fromkeys(("mg", "milligram", "milligrams"), ("mass", 1e-6)),
    **dict.fromkeys(("µg", "mcg", "microgram", "micrograms"), ("mass", 1e-9)),
    **dict.fromkeys(("tonne", "tonnes", "metric ton", "metric tons"), ("mass", 1000.0)),
    **dict.fromkeys(("oz", "ounce", "ounces"), ("mass", 0.028349523)),
    **dict.fromkeys(("kg", "kilo", "kilos", "kilogram", "kilograms"), ("mass", 1.0)),
    **dict.fromkeys(("lb", "lbs", "pounds of"), ("mass", 0.45359237)),
    **dict.fromkeys(("ml", "millilitre", "millilitres"), ("volume", 0.001)),
    **dict.fromkeys(("cl", "centilitre", "centilitres"), ("volume", 0.01)),
    **dict.fromkeys(("l", "litre", "litres", "liter", "liters"), ("volume", 1.0)),
    **dict.fromkeys(("w", "watt", "watts"), ("power", 1.0)),
    "kw": ("power", 1000.0),
    **dict.fromkeys(("wh", "watt-hours", "watt-hour"), ("energy", 1.0)),
    "kwh": ("energy", 1000.0),
    **dict.fromkeys(("v", "volt", "volts"), ("voltage", 1.0)),
    **dict.fromkeys(("ah", "amp-hours"), ("charge", 1.0)),
    **dict.fromkeys(("nm", "newton-metres"), ("torque", 1.0)),
    "bar": ("pressure", 1.0),
    "psi": ("pressure", 0.0689476),
    "mbar": ("pressure", 0.001),
    "hpa": ("pressure", 0.001),
    "kpa": ("pressure", 0.01),
    **dict.fromkeys(("°c", "degrees", "degree"), ("temperature", 1.0)),
    "°f": ("temperature in °F", 1.0),
    **dict.fromkeys(("kb", "kilobytes"), ("storage", 1e-6)),
    **dict.fromkeys(("mb", "megabyte", "megabytes"), ("storage", 0.001)),
    **dict.fromkeys(("gb", "gigabyte", "gigabytes"), ("storage", 1.0)),
    **dict.fromkeys(("tb", "terabyte", "terabytes"), ("storage", 1000.0)),
}
CURRENCIES = {
    **dict.fromkeys(("€", "eur", "euro", "euros"), "EUR"),
    **dict.fromkeys(("$", "usd", "dollar", "dollars"), "USD"),
    **dict.fromkeys(("£", "gbp", "pound", "pounds"), "GBP"),
}
SMALL_NUMBERS = dict(
    zip(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split(),
        range(20),
        strict=True,
    )
)
TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
SCALES = {"hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "billion": 1e9, "bn": 1e9, "dozen": 12.0}
