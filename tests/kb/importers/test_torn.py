"""Any value in any place of a file is read or refused: no importer ends in another error."""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kb.codec import encode_item
from kb.importers.errors import SourceInvalid
from kb.importers.formats import FORMATS
from kb.importers.imported import Known

from .test_dash import BUSINESS, TABLE
from .test_dbt import MANIFEST
from .test_vanna import RECORDS
from .test_wren import MDL

SAMPLES: dict[str, tuple[str, str, Any]] = {
    "dash": ("", "tables/a.json", TABLE),
    "dash business": ("", "business/a.json", BUSINESS),
    "dbt": ("manifest.json", "manifest.json", MANIFEST),
    "vanna": ("training.json", "training.json", RECORDS),
    "wren": ("mdl.json", "mdl.json", MDL),
}
"""For each format the path that is imported, the file that is torn, and what it holds."""

words = st.text(st.sampled_from("SELECT FROM a.b(),*'\"= \n;-x1é\0{}[]"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container of the value, with each of its keys."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.integers(0, 10_000), values)
def test_any_value_in_any_place_is_read_or_refused(name: str, place: int, value: Any) -> None:
    given_path, file, sample = SAMPLES[name]
    torn = copy.deepcopy(sample)
    every = list(places(torn))
    inner, key = every[place % len(every)]
    inner[key] = value
    with tempfile.TemporaryDirectory() as folder, suppress(SourceInvalid):
        path = Path(folder, file)
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(torn))
        for item in FORMATS[name.partition(" ")[0]](Path(folder, given_path), Known()).items:
            encode_item(item)
