"""`kvasir backend doctor`: names what is wrong with a running pair, from its own numbers.

`reader` reads two samples into `readings`; each rule (`rules`) is a pure function of them that gives a `Finding` or
nothing; `diagnosis` puts them together. docs/doctor.md has the table of symptoms.
"""
