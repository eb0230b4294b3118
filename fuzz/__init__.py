"""Random octets against every parser and engine for a bounded time: `make fuzz`, or `python -m fuzz --help`.

`parsers` and `engines` list the targets with what holds for each of them whatever comes in, `mutation` makes inputs out
of examples, `hunt` keeps those that show something new, and writes down those that break something.
"""
