"""Names of LMCache's file adapters (`fs` and `fs_native` share them), and sizes of its objects."""

from __future__ import annotations

from lmcache.v1.distributed.api import MemoryLayoutDesc, ObjectKey
from lmcache.v1.distributed.l2_adapters.fs_l2_adapter import _filename_to_object_key, _object_key_to_filename

from backend.tiers.sightings import ChunkId, chunk_id


def file_name(key: ObjectKey) -> str:
    return str(_object_key_to_filename(key))


def key_of(name: str) -> ObjectKey | None:
    """`None` for a file that is not one of LMCache's."""
    return _filename_to_object_key(name)


def id_of(key: ObjectKey) -> ChunkId:
    """The same for every rank and object group of a chunk."""
    return chunk_id(key.chunk_hash, key.cache_salt)


def layout_bytes(layout: MemoryLayoutDesc) -> int:
    """The bytes of one object of this layout."""
    return sum(shape.numel() * dtype.itemsize for shape, dtype in zip(layout.shapes, layout.dtypes, strict=True))
