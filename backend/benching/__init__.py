"""`kvasir backend bench`: seconds to the first token from every place that a prompt's KV can be in.

A section measures and returns what it measured; `figures.py` makes figures with intervals of it, `report.py` joins
the sections.
"""
