"""The reference model kvasir-mini: how its training text is made.

Development only: nothing that serves a request imports this package. It stands above the others, because its
contexts are rendered by the gateway's own assembly and never by a second template (docs/decisions/008).
"""
