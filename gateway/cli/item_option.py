"""An item given on the command line, as ITEM=FILE."""

from __future__ import annotations

from pathlib import Path

from gateway.errors import BadRequest
from kb.items import KINDS, Item


def item_given(option: str, text: str) -> tuple[str, Item]:
    """The key and the item. Raises `BadRequest`, `FolderInvalid`."""
    from kb.item_file import read_item

    # The name of an item may hold a '=', and so may that of a file: the file that is there decides.
    splits = [(text[:at], text[at + 1 :]) for at, character in enumerate(text) if character == "="]
    key, file = next((split for split in splits if Path(split[1]).is_file()), (splits or [("", "")])[0])
    kind = next((kind for kind in KINDS if key.startswith(f"{kind}:")), None)
    if kind is None:
        raise BadRequest(
            f"{option} {text}: expected is ITEM=FILE, such as metric:revenue=revenue.md, "
            "with a file as 'kvasir kb show ITEM' prints it"
        )
    try:
        content = Path(file).read_bytes().decode()
    except OSError as exc:
        raise BadRequest(f"{option} {text}: {file} cannot be read ({exc.strerror})") from exc
    except UnicodeDecodeError as exc:
        raise BadRequest(f"{option} {text}: {file} cannot be read: {exc}") from exc
    return key, read_item(file, kind, content)
