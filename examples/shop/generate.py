"""Makes the shop: a SQLite database of eleven tables and about 50,000 rows, with the traps of a schema that has aged.

    python examples/shop/generate.py shop.sqlite [--seed 7]

The same seed gives the same contents, on any day: the shop's last day is 2026-06-30. README.md beside this file lists
the traps, each with the statement that falls into it and the one that does not.
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random

TODAY = date(2026, 6, 30)
OPENED = date(2024, 1, 2)
STATUS_LEFT_ON = date(2025, 9, 1)

CUSTOMERS, PRODUCTS, SUPPLIERS, ORDERS, REVIEWS = 4_000, 640, 36, 7_800, 1_800
TEST_SHARE, TEST_ORDER_SHARE = 0.015, 0.06
DELETED_CUSTOMERS, DELETED_PRODUCTS, DELETED_ORDERS = 0.06, 0.12, 0.025
SCHEMA = Path(__file__).with_name("schema.sql")

# Department: its categories, each with what is sold there and the price range in euros.
RANGE: dict[str, dict[str, tuple[tuple[str, ...], int, int]]] = {
    "Kitchen": {
        "Cookware": (("Frying Pan", "Saucepan", "Stockpot", "Wok", "Casserole"), 19, 149),
        "Knives": (("Chef's Knife", "Bread Knife", "Paring Knife", "Knife Block"), 12, 189),
        "Coffee": (("Moka Pot", "French Press", "Coffee Grinder", "Pour-over Set"), 15, 129),
        "Baking": (("Springform Tin", "Mixing Bowl", "Rolling Pin", "Loaf Tin"), 8, 49),
    },
    "Living": {
        "Lighting": (("Table Lamp", "Floor Lamp", "Pendant Light", "Wall Light"), 29, 299),
        "Textiles": (("Wool Throw", "Cushion", "Linen Curtain", "Rug"), 18, 249),
        "Storage": (("Basket", "Shelf", "Sideboard Box", "Coat Rack"), 14, 179),
        "Decoration": (("Vase", "Candle Holder", "Picture Frame", "Mirror"), 9, 159),
    },
    "Garden": {
        "Garden Tools": (("Pruning Shears", "Spade", "Watering Can", "Garden Fork"), 11, 79),
        "Pots": (("Terracotta Pot", "Planter", "Hanging Basket", "Herb Box"), 7, 89),
        "Furniture": (("Garden Chair", "Folding Table", "Bench", "Hammock"), 49, 399),
    },
    "Bath": {
        "Towels": (("Bath Towel", "Hand Towel", "Bath Mat", "Sauna Towel"), 9, 59),
        "Bath Accessories": (("Soap Dish", "Toothbrush Mug", "Laundry Hamper", "Shower Shelf"), 8, 99),
    },
    "Office": {
        "Desks": (("Desk Lamp", "Monitor Stand", "Desk Pad", "Standing Desk"), 19, 449),
        "Paper": (("Notebook", "Weekly Planner", "Letter Tray", "Pen Set"), 6, 39),
    },
}
STYLES = ("Aalto", "Birk", "Corvo", "Dune", "Elba", "Fjord", "Gotland", "Havel", "Isar", "Juno", "Kiruna", "Lido")
FINISHES = ("Oak", "Steel", "Sand", "Graphite", "Copper", "Moss", "Ivory", "Indigo")

# Country: weight, cities, streets, first names, last names.
PLACES: dict[str, tuple[int, Sequence[str], Sequence[str], Sequence[str], Sequence[str]]] = {
    "DE": (
        36,
        ("Berlin", "Hamburg", "Munich", "Cologne", "Leipzig", "Freiburg"),
        ("Lindenstraße", "Bahnhofstraße", "Gartenweg", "Schillerstraße"),
        ("Anna", "Lukas", "Mia", "Jonas", "Lea", "Felix", "Clara", "Paul"),
        ("Müller", "Schmidt", "Weber", "Wagner", "Becker", "Hoffmann", "Koch", "Richter"),
    ),
    "FR": (
        20,
        ("Paris", "Lyon", "Lille", "Nantes", "Toulouse"),
        ("rue Victor Hugo", "avenue de la Gare", "rue des Lilas", "quai du Port"),
        ("Camille", "Louis", "Chloé", "Hugo", "Manon", "Jules", "Inès", "Arthur"),
        ("Martin", "Bernard", "Dubois", "Moreau", "Laurent", "Girard", "Fournier", "Lambert"),
    ),
    "NL": (
        14,
        ("Amsterdam", "Utrecht", "Rotterdam", "Groningen"),
        ("Kerkstraat", "Dorpsweg", "Molenlaan", "Prinsengracht"),
        ("Emma", "Daan", "Sanne", "Bram", "Fleur", "Sem", "Lotte", "Thijs"),
        ("de Vries", "Jansen", "Bakker", "Visser", "Smit", "Mulder", "Dekker", "Peters"),
    ),
    "ES": (
        12,
        ("Madrid", "Barcelona", "Valencia", "Bilbao"),
        ("Calle Mayor", "Avenida del Mar", "Calle de la Luna", "Paseo Real"),
        ("Lucía", "Mateo", "Sofía", "Pablo", "Elena", "Diego", "Carmen", "Hugo"),
        ("García", "López", "Navarro", "Romero", "Torres", "Vega", "Molina", "Ortega"),
    ),
    "SE": (
        10,
        ("Stockholm", "Gothenburg", "Malmö", "Uppsala"),
        ("Storgatan", "Skolvägen", "Björkgatan", "Hamngatan"),
        ("Elsa", "Oskar", "Astrid", "Nils", "Freja", "Axel", "Ingrid", "Erik"),
        ("Andersson", "Lindberg", "Nyström", "Holm", "Sandberg", "Ek", "Berg", "Dahl"),
    ),
    "AT": (
        8,
        ("Vienna", "Graz", "Linz", "Salzburg"),
        ("Hauptstraße", "Mozartgasse", "Donaugasse", "Waldweg"),
        ("Sophie", "Maximilian", "Valentina", "David", "Laura", "Jakob", "Magdalena", "Elias"),
        ("Gruber", "Huber", "Steiner", "Moser", "Leitner", "Fuchs", "Eder", "Pichler"),
    ),
}
SUPPLIER_WORDS = ("Nordic", "Alpine", "Atlas", "Porto", "Baltic", "Rhône", "Tatra", "Delta", "Brenta")
SUPPLIER_ENDS = ("Works", "Trading", "Manufaktur", "Supply")
CARRIERS = ("DHL", "DPD", "PostNL", "GLS", "Colissimo")
REASONS = ("damaged", "wrong item", "not as described", "changed mind", "arrived late")
TITLES = {
    1: ("Broke after a week", "Not what I ordered", "Poor quality"),
    2: ("Disappointing", "Colour is off", "Too small"),
    3: ("It does the job", "Fine for the price", "Average"),
    4: ("Good buy", "Solid", "Nice, slow delivery"),
    5: ("Love it", "Perfect", "Would buy again", "Great quality"),
}
LEGACY_STATUS = {
    "placed": "new", "paid": "paid", "shipped": "shipped", "delivered": "delivered", "cancelled": "cancelled",
    # The old field had no word for a return: it stayed where delivery had left it.
    "returned": "delivered",
}  # fmt: skip


def generate(path: Path, seed: int = 7) -> None:
    """Writes the shop to `path`, in place of what is there. Raises OSError and sqlite3.Error where it cannot."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    partial.unlink(missing_ok=True)
    try:
        connection = sqlite3.connect(partial, isolation_level=None)
        try:
            connection.executescript("PRAGMA journal_mode = OFF; PRAGMA foreign_keys = ON;")
            connection.execute("BEGIN")
            # Rows go in table by table, in the order in which they were first drawn.
            connection.execute("PRAGMA defer_foreign_keys = ON")
            for statement in SCHEMA.read_text(encoding="utf-8").split(";")[:-1]:
                connection.execute(statement)
            Shop(Random(seed), connection).fill()
            connection.execute("COMMIT")
        finally:
            connection.close()
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@dataclass(frozen=True)
class Product:
    id: int
    price_cents: int
    popularity: float


@dataclass(frozen=True)
class Customer:
    id: int
    is_test: bool
    is_business: bool
    joined_on: date
    address_ids: tuple[int, ...]


@dataclass(frozen=True)
class Order:
    id: int
    no: str
    buyer: Customer
    state: str
    placed_at: datetime


@dataclass(frozen=True)
class Item:
    id: int
    product_id: int
    quantity: int
    unit_cents: int


class Shop:
    """Draws the shop's rows, parents before children."""

    def __init__(self, random: Random, connection: sqlite3.Connection) -> None:
        self._random = random
        self._connection = connection
        self._rows: dict[str, list[tuple[object, ...]]] = {}

    def fill(self) -> None:
        products = self._products(self._categories())
        customers = self._customers()
        self._orders(products, customers)
        for table, rows in self._rows.items():
            marks = ", ".join("?" * len(rows[0]))
            self._connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)

    def _add(self, table: str, *values: object) -> int:
        """Adds a row under the table's next id, which it returns."""
        rows = self._rows.setdefault(table, [])
        rows.append((len(rows) + 1, *values))
        return len(rows)

    def _chance(self, share: float) -> bool:
        return self._random.random() < share

    def _weighted(self, weights: dict[str, float]) -> str:
        return self._random.choices(list(weights), list(weights.values()))[0]

    def _at(self, day: date) -> datetime:
        """Some moment of the shop's day, 07:00 to 22:59."""
        return datetime(day.year, day.month, day.day, 7) + timedelta(seconds=self._random.randrange(16 * 3600))

    def _after(self, day: date, most_days: int) -> str:
        """A moment up to `most_days` after `day`, and never after today."""
        return str(self._at(min(day + timedelta(days=1 + self._random.randrange(most_days)), TODAY)))

    def _categories(self) -> list[tuple[int, tuple[str, ...], int, int]]:
        leaves = []
        for department, categories in RANGE.items():
            parent = self._add("categories", department, None)
            for name, (goods, low_eur, high_eur) in categories.items():
                leaves.append((self._add("categories", name, parent), goods, low_eur, high_eur))
        return leaves

    def _products(self, leaves: list[tuple[int, tuple[str, ...], int, int]]) -> list[Product]:
        random, names = self._random, set[str]()
        for number in range(SUPPLIERS):
            name = f"{SUPPLIER_WORDS[number % 9]} {SUPPLIER_ENDS[number // 9]}"
            self._add("suppliers", name, random.choice(list(PLACES)), random.randrange(2, 30))
        products = []
        while len(products) < PRODUCTS:
            category, goods, low_eur, high_eur = random.choice(leaves)
            name = f"{random.choice(STYLES)} {random.choice(goods)}, {random.choice(FINISHES)}"
            if name in names:
                continue
            names.add(name)
            price_cents = round(low_eur + (high_eur - low_eur) * random.random() ** 2) * 100 - 5
            product = self._add(
                "products", f"P-{len(names) + 1000}", name, category, 1 + random.randrange(SUPPLIERS),
                price_cents / 100, str(OPENED - timedelta(days=random.randrange(200))),
                self._after(OPENED, 800) if self._chance(DELETED_PRODUCTS) else None,
            )  # fmt: skip
            products.append(Product(product, price_cents, random.random() ** 2 + 0.02))
        return products

    def _customers(self) -> list[Customer]:
        random = self._random
        joined = sorted(
            OPENED + timedelta(days=random.randrange(-300, (TODAY - OPENED).days)) for _ in range(CUSTOMERS)
        )
        weights = {country: float(place[0]) for country, place in PLACES.items()}
        customers = []
        for number, joined_on in enumerate(joined, start=1):
            country, is_test = self._weighted(weights), self._chance(TEST_SHARE)
            firsts, lasts = PLACES[country][3:]
            first, last = ("Test", f"Checkout {number}") if is_test else (random.choice(firsts), random.choice(lasts))
            email = f"qa{number}@example.test" if is_test else f"{_ascii(first)}.{_ascii(last)}.{number}@example.com"
            is_business = not is_test and self._chance(0.12)
            deleted_at = self._after(joined_on, 500) if self._chance(DELETED_CUSTOMERS) and not is_test else None
            customer = self._add(
                "customers", first, last, email, "business" if is_business else "consumer", country,
                int(is_test), int(self._chance(0.4)), str(self._at(joined_on)), deleted_at,
            )  # fmt: skip
            homes = [self._address(customer, country, 1)]
            if self._chance(0.25):
                # Some parcels go abroad: the country of a delivery is the address's.
                homes.append(self._address(customer, self._weighted(weights), 0))
            customers.append(Customer(customer, is_test, is_business, joined_on, tuple(homes)))
        return customers

    def _address(self, customer: int, country: str, is_default: int) -> int:
        random = self._random
        _, cities, streets, *_ = PLACES[country]
        street, postal_code = f"{random.choice(streets)} {1 + random.randrange(140)}", random.randrange(10_000, 99_999)
        return self._add("addresses", customer, street, str(postal_code), random.choice(cities), country, is_default)

    def _orders(self, products: list[Product], customers: list[Customer]) -> None:
        random = self._random
        testers = [customer for customer in customers if customer.is_test]
        buyers = [customer for customer in customers if not customer.is_test]
        joined, popularity = [buyer.joined_on for buyer in buyers], [product.popularity for product in products]
        delivered: list[tuple[Order, Item]] = []
        for day in self._order_days():
            if self._chance(TEST_ORDER_SHARE):
                buyer = random.choice(testers)
            else:
                buyer = buyers[random.randrange(bisect_right(joined, day))]
            order, items = self._order(day, buyer, random.choices(products, popularity, k=self._item_count()))
            if order.state == "delivered" and not buyer.is_test:
                delivered += [(order, item) for item in items]
        for order, item in random.sample(delivered, REVIEWS):
            rating = random.choices((1, 2, 3, 4, 5), (5, 6, 13, 31, 45))[0]
            reviewed = self._after(order.placed_at.date() + timedelta(days=6), 40)
            self._add("reviews", item.product_id, order.buyer.id, rating, random.choice(TITLES[rating]), reviewed)

    def _order_days(self) -> list[date]:
        """One day an order: more each year, most before Christmas."""
        days = [OPENED + timedelta(days=offset) for offset in range((TODAY - OPENED).days + 1)]
        season = {11: 1.7, 12: 1.9, 1: 0.8, 7: 0.8, 8: 0.8}
        weights = [(1 + index / 700) * season.get(day.month, 1.0) for index, day in enumerate(days)]
        return sorted(self._random.choices(days, weights, k=ORDERS))

    def _item_count(self) -> int:
        return int(self._weighted({"1": 48, "2": 28, "3": 15, "4": 9}))

    def _order(self, day: date, buyer: Customer, products: list[Product]) -> tuple[Order, list[Item]]:
        placed_at, state = self._at(day), self._state((TODAY - day).days)
        number = len(self._rows.get("orders", ())) + 1
        order = Order(number, f"SO-{day.year}-{number:06d}", buyer, state, placed_at)
        items = [self._item(order, product) for product in dict.fromkeys(products)]
        goods_cents = sum(item.quantity * item.unit_cents for item in items)
        shipping_cents = 0 if goods_cents >= 6_000 else 495
        booked_on = day + timedelta(days=1 + int(9 * self._random.random() ** 1.5))
        is_booked = state not in ("placed", "cancelled") and booked_on <= TODAY
        # Deleted in the back office: doubles, and orders typed in by mistake.
        deleted_at = self._after(day, 20) if self._chance(DELETED_ORDERS) else None
        self._add(
            "orders", order.no, buyer.id, self._random.choice(buyer.address_ids),
            self._weighted({"web": 58, "app": 30, "marketplace": 12}), self._status(state, day), state,
            shipping_cents / 100, (goods_cents + shipping_cents) / 100, str(placed_at),
            str(booked_on) if is_booked else None, deleted_at,
        )  # fmt: skip
        self._pay(order, goods_cents + shipping_cents)
        if state in ("shipped", "delivered", "returned"):
            self._ship(order)
        if state == "returned":
            self._return(order, items)
        return order, items

    def _state(self, age_days: int) -> str:
        if age_days < 2:
            return self._weighted({"placed": 40, "paid": 60})
        if age_days < 8:
            return self._weighted({"paid": 25, "shipped": 60, "delivered": 8, "cancelled": 7})
        return self._weighted({"delivered": 79, "cancelled": 9, "returned": 8, "shipped": 2, "paid": 1, "placed": 1})

    def _status(self, state: str, day: date) -> str:
        """The legacy field: never written since the migration, late by a step here and there before it."""
        if day >= STATUS_LEFT_ON:
            return "new"
        if state in ("delivered", "returned") and (day > STATUS_LEFT_ON - timedelta(days=5) or self._chance(0.07)):
            return "shipped"
        return LEGACY_STATUS[state]

    def _item(self, order: Order, product: Product) -> Item:
        most = 30 if order.buyer.is_test else 6 if order.buyer.is_business else 2
        quantity = 1 + int(most * self._random.random() ** 2)
        # Prices rose each January; products.price_eur is today's.
        unit_cents = round(product.price_cents * {2024: 0.91, 2025: 0.96}.get(order.placed_at.year, 1.0))
        item = self._add("order_items", order.id, product.id, quantity, unit_cents)
        return Item(item, product.id, quantity, unit_cents)

    def _pay(self, order: Order, amount_cents: int) -> None:
        method = self._weighted({"card": 46, "paypal": 31, "invoice": 15, "transfer": 8})
        paid_at = order.placed_at + timedelta(minutes=self._random.randrange(1, 50))
        if order.state == "placed" or self._chance(0.08):
            self._add("payments", order.id, method, "failed", amount_cents, str(order.placed_at))
        if order.state == "placed" or (order.state == "cancelled" and self._chance(0.6)):
            return
        self._add("payments", order.id, method, "captured", amount_cents, str(paid_at))
        if order.state in ("cancelled", "returned"):
            refunded_at = self._after(order.placed_at.date(), 25)
            self._add("payments", order.id, method, "refunded", amount_cents, refunded_at)

    def _ship(self, order: Order) -> None:
        """`order_ref` holds the order's number, and no foreign key says so. One order in nine goes in two parcels."""
        for _ in range(2 if self._chance(0.11) else 1):
            shipped_on = min(order.placed_at.date() + timedelta(days=1 + self._random.randrange(4)), TODAY)
            delivered_on = min(shipped_on + timedelta(days=1 + self._random.randrange(6)), TODAY)
            self._add(
                "shipments", order.no, self._random.choice(CARRIERS), f"{self._random.randrange(10**11, 10**12)}",
                str(shipped_on), None if order.state == "shipped" else str(delivered_on),
            )  # fmt: skip

    def _return(self, order: Order, items: list[Item]) -> None:
        for item in items[: 1 + self._random.randrange(len(items))]:
            quantity = 1 + self._random.randrange(item.quantity)
            returned_on = self._after(order.placed_at.date() + timedelta(days=8), 20)[:10]
            self._add(
                "returns", item.id, quantity, self._random.choice(REASONS), quantity * item.unit_cents, returned_on
            )


def _ascii(name: str) -> str:
    return unicodedata.normalize("NFKD", name.lower().replace(" ", "")).encode("ascii", "ignore").decode()


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the example shop's SQLite database.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    try:
        generate(arguments.path, arguments.seed)
    except (OSError, sqlite3.Error) as exc:
        parser.exit(1, f"cannot write {arguments.path}: {exc}; name a file in a folder that can be written\n")
    print(f"wrote {arguments.path}")


if __name__ == "__main__":
    main()
