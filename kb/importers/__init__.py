"""Importers for what users of other tools have already: one format a file, each from a path to items.

Every file is one that nobody has checked. An importer reads it whole or raises `SourceInvalid`; it changes nothing.
"""

FORMAT_NAMES = ("csv", "dash", "dbt", "snowflake", "vanna", "wren")
"""The names of `formats.FORMATS`; the command line shows them without importing every format."""
