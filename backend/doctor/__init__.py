"""`kvasir backend doctor`: names what is wrong with a running pair, from its own numbers.

`watch` has `reader` take two samples, which are the `readings`. Each rule is a pure function of them that gives a
`Finding` or nothing; `diagnosis` has the list of rules and asks all. docs/doctor.md has the table of symptoms.
"""
