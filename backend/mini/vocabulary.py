"""The words that random databases are made of: what things there are, and what is known about them.

A thing's attributes carry a role, which decides type, values and the questions that make sense. Names are drawn from
here or invented; nothing is taken from a data set that a test uses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Role = Literal["label", "category", "amount", "count", "ratio", "date", "flag", "code"]


@dataclass(frozen=True, slots=True)
class Attribute:
    """What is known about a thing, as people say it; `values` are those of a category or flag."""

    spoken: str
    role: Role
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Thing:
    singular: str
    plural: str


def _things(pairs: str) -> tuple[Thing, ...]:
    """From `singular/plural` words; a plural left out ends in s."""
    made = []
    for pair in pairs.split():
        singular, _, plural = pair.replace("_", " ").partition("/")
        made.append(Thing(singular, plural or f"{singular}s"))
    return tuple(made)


THINGS = _things(
    "customer supplier product invoice payment shipment warehouse employee department project task ticket "
    "contract policy/policies claim patient doctor appointment prescription ward hospital student teacher course "
    "lesson exam school classroom book author publisher library/libraries loan member club team player "
    "match/matches league stadium season concert singer album track venue festival film actor director studio "
    "screening theatre play museum exhibition artist painting sculpture gallery/galleries auction bid flight "
    "airline airport pilot aircraft/aircraft passenger booking hotel room guest restaurant chef dish/dishes menu "
    "ingredient recipe order store shelf/shelves brand category/categories coupon campaign lead deal account "
    "transaction branch/branches card loan_officer farm field crop harvest animal breed vet vaccine shelter "
    "forest tree park ranger trail river lake dam bridge road city/cities country/countries region station train "
    "route driver vehicle truck garage mechanic part repair sensor device reading alert server cluster deployment "
    "incident release repository/repositories commit developer review survey question answer respondent candidate "
    "election vote party/parties district bill committee judge case lawyer verdict prison officer report "
    "satellite telescope observation star planet mission astronaut experiment sample lab scientist grant article "
    "journal conference paper ship port captain cargo container crane factory/factories machine shift operator "
    "defect inspection batch/batches recipe_step oven bakery/bakeries cake vineyard wine tasting gym trainer "
    "workout subscription plan usage_record meter household property/properties tenant landlord lease agent "
    "viewing mortgage bank insurer broker fund share trader portfolio currency/currencies donor donation "
    "charity/charities volunteer event session speaker sponsor booth visitor newsletter post comment channel "
    "video playlist stream game level achievement guild quest toy costume wardrobe tailor fabric garment outfit "
    "photo camera lens exposure"
)

ATTRIBUTES: tuple[Attribute, ...] = (
    Attribute("name", "label"),
    Attribute("title", "label"),
    Attribute("full name", "label"),
    Attribute("label", "label"),
    Attribute("description", "label"),
    Attribute("first name", "label"),
    Attribute("last name", "label"),
    Attribute("email", "label"),
    Attribute("address", "label"),
    Attribute("phone", "label"),
    Attribute("region", "category", ("north", "south", "east", "west")),
    Attribute("nationality", "category", ("French", "Kenyan", "Peruvian", "Dutch", "Indian")),
    Attribute("category", "category", ("food", "books", "tools", "toys", "garden")),
    Attribute("segment", "category", ("retail", "wholesale", "public")),
    Attribute("currency", "category", ("EUR", "USD", "JPY", "GBP")),
    Attribute("sex", "category", ("M", "F")),
    Attribute("position", "category", ("manager", "analyst", "clerk", "driver")),
    Attribute("result", "category", ("win", "loss", "draw")),
    Attribute("status", "category", ("open", "closed", "pending", "cancelled")),
    Attribute("state", "category", ("new", "active", "paused", "archived")),
    Attribute("type", "category", ("standard", "premium", "basic", "trial")),
    Attribute("kind", "category", ("internal", "external", "mixed")),
    Attribute("color", "category", ("red", "green", "blue", "black", "white", "yellow")),
    Attribute("size", "category", ("small", "medium", "large")),
    Attribute("priority", "category", ("low", "normal", "high", "urgent")),
    Attribute("country", "category", ("France", "Spain", "Japan", "Brazil", "Kenya", "Canada")),
    Attribute("city", "category", ("Lisbon", "Oslo", "Lima", "Hanoi", "Accra", "Denver")),
    Attribute("language", "category", ("English", "French", "Arabic", "Hindi", "Korean")),
    Attribute("gender", "category", ("female", "male", "other")),
    Attribute("material", "category", ("wood", "steel", "glass", "cotton", "stone")),
    Attribute("genre", "category", ("drama", "comedy", "jazz", "rock", "crime")),
    Attribute("method", "category", ("card", "cash", "transfer", "voucher")),
    Attribute("channel", "category", ("web", "phone", "shop", "partner")),
    Attribute("grade", "category", ("A", "B", "C", "D")),
    Attribute("weekday", "category", ("Monday", "Tuesday", "Friday", "Sunday")),
    Attribute("level", "category", ("beginner", "intermediate", "expert")),
    Attribute("price", "amount"),
    Attribute("cost", "amount"),
    Attribute("salary", "amount"),
    Attribute("budget", "amount"),
    Attribute("total", "amount"),
    Attribute("fee", "amount"),
    Attribute("balance", "amount"),
    Attribute("weight", "amount"),
    Attribute("height", "amount"),
    Attribute("length", "amount"),
    Attribute("distance", "amount"),
    Attribute("area", "amount"),
    Attribute("temperature", "amount"),
    Attribute("score", "amount"),
    Attribute("age", "count"),
    Attribute("quantity", "count"),
    Attribute("capacity", "count"),
    Attribute("duration", "count"),
    Attribute("number of seats", "count"),
    Attribute("stock", "count"),
    Attribute("year of birth", "count"),
    Attribute("population", "count"),
    Attribute("points", "count"),
    Attribute("visits", "count"),
    Attribute("speed", "amount"),
    Attribute("revenue", "amount"),
    Attribute("tax", "amount"),
    Attribute("depth", "amount"),
    Attribute("volume", "amount"),
    Attribute("number of employees", "count"),
    Attribute("rank", "count"),
    Attribute("floor", "count"),
    Attribute("pages", "count"),
    Attribute("wins", "count"),
    Attribute("attendance", "count"),
    Attribute("minutes", "count"),
    Attribute("rating", "ratio"),
    Attribute("discount rate", "ratio"),
    Attribute("share", "ratio"),
    Attribute("completion rate", "ratio"),
    Attribute("margin", "ratio"),
    Attribute("start date", "date"),
    Attribute("end date", "date"),
    Attribute("created at", "date"),
    Attribute("due date", "date"),
    Attribute("birth date", "date"),
    Attribute("paid on", "date"),
    Attribute("opened on", "date"),
    Attribute("last seen", "date"),
    Attribute("shipped on", "date"),
    Attribute("updated at", "date"),
    Attribute("release date", "date"),
    Attribute("active", "flag", ("0", "1")),
    Attribute("verified", "flag", ("0", "1")),
    Attribute("available", "flag", ("0", "1")),
    Attribute("archived", "flag", ("0", "1")),
    Attribute("refundable", "flag", ("0", "1")),
    Attribute("deleted", "flag", ("0", "1")),
    Attribute("paid", "flag", ("0", "1")),
    Attribute("public", "flag", ("0", "1")),
    Attribute("code", "code"),
    Attribute("serial number", "code"),
    Attribute("reference", "code"),
)

FIRST_NAMES = tuple(
    "Ada Bela Carlo Dina Emil Fatou Goran Hana Ivo Jana Kofi Lena Mira Noor Olga Pavel Quinn Rosa Sven Tara Uma "
    "Viktor Wanda Xenia Yusuf Zora".split()
)
LAST_NAMES = tuple(
    "Abbas Berg Costa Diaz Eriksen Fofana Gruber Haas Ito Jansen Keller Lopez Moreau Novak Okafor Petrov Quist "
    "Rossi Silva Tanaka Ueda Varga Weber Xu Yilmaz Zeman".split()
)
SYLLABLES = tuple(
    "ba ce di fo gu ha jo ka le mi no pa qui ra se ti vo wu xa yo za bren dral fex gor lum mav nix por quel rud "
    "sten tor vard wex yul zan".split()
)
