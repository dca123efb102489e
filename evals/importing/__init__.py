"""Readers of other tools' test files: one format a file, each from a path to cases and what was left out.

A file is read whole or `SourceInvalid` (of `kb.importers`) names its file, line and field. What a suite cannot say is
left out and told; nothing is invented.
"""

FORMAT_NAMES = ("promptfoo", "nao", "snowflake", "spider", "bird", "csv")
"""The names of `formats.READERS`; the command line shows them without importing every format."""
