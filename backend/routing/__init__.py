"""One engine, several servers of the same model: each request goes where its longest prefix is.

`prefix.py` makes comparable what a prompt begins with, `prefix_index.py` remembers which server was asked what,
`choice.py` is the rule, a pure function, `replicas.py` holds what it is applied to, and `failover.py` asks elsewhere
where a server fails. `routed_engine.py` and `routed_relay.py` are an engine and a relay over them
(docs/decisions/039-requests-go-where-their-prefix-is.md).
"""
