"""Write the tasks of our own: `effortctl/catalog/suite/*.jsonl`, always the same files.

Run it from anywhere: `python evals/local_ladder/make_suite.py`. The recorded answers belong to these
exact prompts, so a changed prompt needs a new id and a new recording.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SUITE = Path(__file__).resolve().parents[2] / "effortctl" / "catalog" / "suite"
SEED = 20261123

Row = dict[str, Any]


# --- sums ------------------------------------------------------------------------------------------

PRODUCTS = ((17, 24), (13, 18), (23, 14), (36, 12), (48, 15), (27, 31), (19, 53), (64, 17))


def _bakery(rng: random.Random) -> tuple[str, int]:
    early, late, sold = rng.randint(40, 95), rng.randint(20, 60), rng.randint(15, 55)
    text = f"A bakery makes {early} rolls before dawn and {late} more at noon. It sells {sold}. How many rolls are left?"
    return text, early + late - sold


def _shelves(rng: random.Random) -> tuple[str, int]:
    shelves, books, extra = rng.randint(4, 12), rng.randint(11, 29), rng.randint(3, 19)
    text = f"A library has {shelves} shelves with {books} books each, and {extra} books lie on a table. How many books is that?"
    return text, shelves * books + extra


def _train(rng: random.Random) -> tuple[str, int]:
    start, off, on = rng.randint(120, 260), rng.randint(30, 90), rng.randint(10, 80)
    text = f"A train leaves with {start} passengers. At the first stop {off} get off and {on} get on. How many are on the train now?"
    return text, start - off + on


def _tickets(rng: random.Random) -> tuple[str, int]:
    adults, children, full = rng.randint(3, 15), rng.randint(2, 20), rng.randint(8, 14)
    text = f"A museum ticket costs {full} euros for adults and {full - 5} euros for children. What do {adults} adults and {children} children pay together, in euros?"
    return text, adults * full + children * (full - 5)


def _garden(rng: random.Random) -> tuple[str, int]:
    long, wide = rng.randint(12, 40), rng.randint(5, 24)
    text = f"A rectangular garden is {long} metres long and {wide} metres wide. How many metres of fence go all the way around it?"
    return text, 2 * (long + wide)


def _saving(rng: random.Random) -> tuple[str, int]:
    weekly, weeks, price = rng.randint(12, 35), rng.randint(5, 16), rng.randint(20, 55)
    text = f"Mira saves {weekly} coins every week for {weeks} weeks, then buys a lamp for {price} coins. How many coins has she left?"
    return text, weekly * weeks - price


def _boxes(rng: random.Random) -> tuple[str, int]:
    per_box, boxes = rng.randint(6, 24), rng.randint(7, 29)
    text = (
        f"{per_box * boxes} screws are packed into boxes of {per_box}. How many boxes are filled?"
    )
    return text, boxes


def _water(rng: random.Random) -> tuple[str, int]:
    flow, minutes, lost = rng.randint(7, 19), rng.randint(11, 45), rng.randint(10, 60)
    text = f"A tap fills a tank with {flow} litres a minute for {minutes} minutes, and {lost} litres leak out. How many litres are in the tank?"
    return text, flow * minutes - lost


def _ages(rng: random.Random) -> tuple[str, int]:
    child, older, years = rng.randint(4, 15), rng.randint(21, 38), rng.randint(3, 12)
    text = f"Ivo is {child} years old and his aunt is {older} years older. How old will the aunt be in {years} years?"
    return text, child + older + years


STORIES = (_bakery, _shelves, _train, _tickets, _garden, _saving, _boxes, _water, _ages)


def sums(rng: random.Random) -> Iterator[Row]:
    """Products, and little stories that take one to three operations."""
    items = [(f"What is {a}*{b}? Answer with a number.", a * b) for a, b in PRODUCTS]
    items += [story(rng) for story in STORIES for _ in range(8)]
    for number, (text, total) in enumerate(items):
        prompt = text if "Answer" in text else f"{text} Answer with a number."
        yield _row(
            f"sums/{number:03}", "math", prompt, spec={"kind": "number", "expected": str(total)}
        )


# --- extraction ------------------------------------------------------------------------------------

NAMES = (
    "Ada Novak",
    "Luis Ortega",
    "Hana Sato",
    "Tom Becker",
    "Zoe Laurent",
    "Omar Haddad",
    "Nina Kovac",
    "Paul Adeyemi",
    "Rosa Lindt",
    "Kim Duval",
    "Ben Okafor",
    "Lena Virtanen",
    "Marco Bassi",
    "Ida Holm",
    "Sam Whitlow",
    "Vera Dunn",
    "Yusuf Demir",
    "Clara Bell",
    "Felix Moreau",
    "Jana Peters",
)
TOWNS = (
    "Lyon",
    "Porto",
    "Graz",
    "Tampere",
    "Bergen",
    "Utrecht",
    "Seville",
    "Cork",
    "Bologna",
    "Brno",
)
JOBS = ("nurse", "welder", "teacher", "pilot", "baker", "architect", "plumber", "florist")
GOODS = (
    "desk lamps",
    "tea cups",
    "bicycle tyres",
    "garden chairs",
    "notebooks",
    "paint rollers",
    "door handles",
)
DOMAINS = (
    "northmill.example",
    "blueharbor.example",
    "pinelane.example",
    "quietfox.example",
    "redkite.example",
)
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def _person(rng: random.Random, name: str) -> tuple[str, dict[str, Any]]:
    age, town, job = rng.randint(21, 68), rng.choice(TOWNS), rng.choice(JOBS)
    text = rng.choice(
        (
            f"{name}, a {age}-year-old {job}, moved to {town} last spring.",
            f"Our new neighbour in {town} is {name}. She or he works as a {job} and just turned {age}.",
            f"At {age}, {name} still enjoys working as a {job} in {town}.",
        )
    )
    ask = 'Give a JSON object with the keys "name", "age" (a number), "job" and "city".'
    return f"{text}\n{ask}", {"name": name, "age": age, "job": job, "city": town}


def _order(rng: random.Random, name: str) -> tuple[str, dict[str, Any]]:
    count, goods, price = rng.randint(2, 60), rng.choice(GOODS), rng.randint(3, 45)
    text = rng.choice(
        (
            f"{name} wrote on Monday: please send {count} {goods}, we agreed on {price} euros apiece.",
            f"Order by phone, {name}: {count} {goods} at {price} euros each, no delivery before noon.",
            f"We owe {name} {count} {goods}; the unit price is {price} euros as always.",
        )
    )
    ask = 'Give a JSON object with the keys "customer", "item", "quantity" (a number) and "unit_price" (a number).'
    return f"{text}\n{ask}", {
        "customer": name,
        "item": goods,
        "quantity": count,
        "unit_price": price,
    }


def _mail(rng: random.Random, name: str) -> tuple[str, str]:
    first, last = name.lower().split()
    address = (
        f"{rng.choice((first, first[0] + '.' + last, first + '_' + last))}@{rng.choice(DOMAINS)}"
    )
    other = rng.choice(DOMAINS)
    text = rng.choice(
        (
            f"Hello, this is {name} from {other}. I have left that firm, so write to {address} from now on.",
            f"Thanks for calling {other}! For invoices use {address} and ask for {name}.",
            f"{name} could not open the file; the copy should go to {address}, not to the {other} server.",
        )
    )
    return f"{text}\nWhich e-mail address should be used? Reply with the address only.", address


def _date(rng: random.Random, name: str) -> tuple[str, str]:
    year, month, day = rng.randint(2019, 2031), rng.randint(1, 12), rng.randint(1, 28)
    written = rng.choice(
        (f"{day} {MONTHS[month - 1]} {year}", f"{MONTHS[month - 1]} {day}, {year}")
    )
    text = rng.choice(
        (
            f"The lease of {name} ends on {written}, not earlier.",
            f"Please note that {name} will start on {written} in room {rng.randint(2, 90)}.",
            f"On {written} the workshop led by {name} opens its doors for the first time.",
        )
    )
    return (
        f"{text}\nReply with the date only, in the form YYYY-MM-DD.",
        f"{year}-{month:02}-{day:02}",
    )


def extraction(rng: random.Random) -> Iterator[Row]:
    """A JSON object, an e-mail address or an ISO date out of a short text."""
    makers = ((_person, 18), (_order, 12), (_mail, 15), (_date, 15))
    number = 0
    for maker, count in makers:
        for name in rng.sample(NAMES, count):
            prompt, wanted = maker(rng, name)
            spec: Row = {"kind": "equals", "expected": wanted}
            if isinstance(wanted, dict):
                spec = {"kind": "json_fields", "expected": wanted}
            yield _row(f"extraction/{number:03}", "extraction", prompt, spec=spec)
            number += 1


# --- classification --------------------------------------------------------------------------------

POSITIVE = (
    "The soup arrived hot and I would order it again tomorrow.",
    "Setup took two minutes and it has not failed me once since.",
    "I came in grumpy and left smiling; the staff saw to that.",
    "For this price I expected a toy, and got a real tool.",
    "My grandmother refuses to use any other kettle now.",
    "Not a single complaint from a family of five picky readers.",
    "The second season is even better than the first.",
    "They repaired my shoes while I waited and would not take a tip.",
    "I was sceptical about the colour, but it looks wonderful on the wall.",
    "It is quiet, light, and the battery lasts the whole week.",
    "We got lost on the way and still would not have missed this place.",
    "The manual is short because you simply do not need one.",
    "Six months of daily use and it still looks new.",
    "The guide knew every stone and made us laugh for three hours.",
    "I bought one for myself and then four more as gifts.",
    "Delivery was a day late, but the cake was worth every minute of waiting.",
)
NEGATIVE = (
    "The zip broke before we had even left the airport.",
    "I waited forty minutes for a cold sandwich.",
    "The app asks for my password every single time, and then crashes.",
    "If you enjoy loose screws and missing parts, this is the chair for you.",
    "Two stars would be a lie; one is already generous.",
    "The room smelled of smoke and nobody at the desk cared.",
    "It looked lovely in the picture and fell apart in my hands.",
    "After the update half of the buttons do nothing.",
    "I wanted to like this film, but I was checking my watch by minute ten.",
    "The jacket is said to be waterproof; my shirt disagrees.",
    "Support sent me the same useless link three times.",
    "The mattress sags so badly that I now sleep on the sofa.",
    "What a pity: a good idea ruined by cheap plastic.",
    "The tour skipped everything we had booked it for.",
    "I returned it the same day and am still waiting for my money.",
    "My plants were dead on arrival, wrapped in wet newspaper.",
)
TOPICS = {
    "sports": (
        "The goalkeeper saved two penalties and was carried off the pitch by her team.",
        "A tie-break decided the final set after more than four hours.",
        "Heavy rain turned the last stage of the bicycle race into a lottery.",
        "The relay team missed the record by two hundredths of a second.",
        "Their coach swapped three defenders at half-time.",
        "She cleared the bar at two metres on her third try.",
        "The visitors scored in extra time and left with all three points.",
    ),
    "business": (
        "The retailer closed a third of its shops after a weak holiday season.",
        "Shareholders approved the merger by a narrow margin.",
        "The central bank kept interest rates where they were.",
        "The airline raised its profit forecast for the second time this year.",
        "Two founders sold their delivery start-up to a larger rival.",
        "Exports of machine parts fell for the fourth month in a row.",
        "The brewery plans to raise prices by five percent in spring.",
    ),
    "science": (
        "Researchers found traces of water in a grain of asteroid dust.",
        "The telescope measured the light of a galaxy from the early universe.",
        "A new enzyme breaks down plastic bottles within a few days.",
        "Biologists followed tagged eels all the way across the ocean.",
        "The experiment confirmed that the particle is heavier than predicted.",
        "Ice cores show how quickly the climate changed ten thousand years ago.",
        "Chemists made a crystal that bends light the wrong way.",
    ),
    "food": (
        "Fold the egg whites into the batter and bake it for half an hour.",
        "The chef serves the lamb with roasted carrots and a little mint.",
        "Rye bread keeps fresh longer when it is stored cut side down.",
        "Toast the cumin seeds before you grind them for the curry.",
        "The new bistro is known for its onion soup and lemon tart.",
        "Let the pasta water boil before you add the salt.",
        "A spoon of vinegar keeps the poached eggs in shape.",
    ),
}


def classification(rng: random.Random) -> Iterator[Row]:
    """Balanced: 16 positive, 16 negative; 7 sentences of each of four topics."""
    ask = 'Is this review positive or negative? Reply with one word, "positive" or "negative".'
    items = [(f"Review: {text}\n{ask}", "positive", ["positive", "negative"]) for text in POSITIVE]
    items += [(f"Review: {text}\n{ask}", "negative", ["positive", "negative"]) for text in NEGATIVE]
    names = list(TOPICS)
    ask = f"What is this sentence about? Reply with one word: {', '.join(names)}."
    items += [
        (f"Sentence: {text}\n{ask}", topic, names)
        for topic, texts in TOPICS.items()
        for text in texts
    ]
    rng.shuffle(items)
    for number, (prompt, label, options) in enumerate(items):
        spec = {"kind": "choice", "expected": label, "options": options}
        yield _row(f"classification/{number:03}", "classification", prompt, spec=spec)


# --- capitals --------------------------------------------------------------------------------------

CAPITALS = (
    ("France", "Paris"), ("Italy", "Rome"), ("Spain", "Madrid"), ("Portugal", "Lisbon"), ("Norway", "Oslo"),
    ("Sweden", "Stockholm"), ("Finland", "Helsinki"), ("Denmark", "Copenhagen"), ("Poland", "Warsaw"),
    ("Hungary", "Budapest"), ("Austria", "Vienna"), ("Greece", "Athens"), ("Ireland", "Dublin"),
    ("Switzerland", "Bern|Berne"), ("Romania", "Bucharest"), ("Bulgaria", "Sofia"), ("Croatia", "Zagreb"),
    ("Slovenia", "Ljubljana"), ("Estonia", "Tallinn"), ("Latvia", "Riga"), ("Lithuania", "Vilnius"),
    ("Iceland", "Reykjavik|Reykjavík"), ("Turkey", "Ankara"), ("Egypt", "Cairo"), ("Morocco", "Rabat"),
    ("Kenya", "Nairobi"), ("Ghana", "Accra"), ("Nigeria", "Abuja"), ("Ethiopia", "Addis Ababa"),
    ("Senegal", "Dakar"), ("Namibia", "Windhoek"), ("Zambia", "Lusaka"), ("Uganda", "Kampala"),
    ("Japan", "Tokyo"), ("China", "Beijing"), ("Mongolia", "Ulaanbaatar|Ulan Bator"), ("Thailand", "Bangkok"),
    ("Vietnam", "Hanoi"), ("India", "New Delhi|Delhi"), ("Nepal", "Kathmandu"), ("Bhutan", "Thimphu"),
    ("Pakistan", "Islamabad"), ("Uzbekistan", "Tashkent"), ("Georgia, the country", "Tbilisi"),
    ("Armenia", "Yerevan"), ("Jordan", "Amman"), ("Oman", "Muscat"), ("Qatar", "Doha"),
    ("Australia", "Canberra"), ("New Zealand", "Wellington"), ("Fiji", "Suva"), ("Canada", "Ottawa"),
    ("Mexico", "Mexico City"), ("Cuba", "Havana"), ("Peru", "Lima"), ("Chile", "Santiago"),
    ("Argentina", "Buenos Aires"), ("Uruguay", "Montevideo"), ("Ecuador", "Quito"),
    ("Colombia", "Bogota|Bogotá"), ("Brazil", "Brasilia|Brasília"), ("Paraguay", "Asuncion|Asunción"),
)  # fmt: skip


def capitals(_rng: random.Random) -> Iterator[Row]:
    """One fact each, from the famous to the easily mistaken."""
    for number, (country, cities) in enumerate(CAPITALS):
        prompt = f"What is the capital of {country}? Reply with the name of the city only."
        spec = {"kind": "any_equals", "expected": cities.split("|")}
        yield _row(f"capitals/{number:03}", "facts", prompt, spec=spec)


def _row(name: str, category: str, prompt: str, *, spec: Row) -> Row:
    return {"id": name, "category": category, "input": prompt, "verify": spec}


def main() -> None:
    """Write one file per family."""
    SUITE.mkdir(parents=True, exist_ok=True)
    for make in (sums, extraction, classification, capitals):
        rows = list(make(random.Random(f"{SEED}:{make.__name__}")))
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (SUITE / f"{make.__name__}.jsonl").write_text(lines, encoding="utf-8")
        print(f"{make.__name__}: {len(rows)} tasks")


if __name__ == "__main__":
    main()
