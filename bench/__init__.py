"""Posthouse side by side with Postfix and Dovecot, on one machine, with the same load: `python -m bench`.

Every figure is taken at least three times, the servers in turn, because a machine's mood changes from minute to minute;
the table shows medians with their ranges, and the ratio of the medians. The CPU time of the server's own processes
for each message is the sturdier figure: it hardly moves when something else runs beside it.

The load is Postfix's `smtp-source`, for every server alike, and the sink its `smtp-sink`; all of it on loopback, all
servers on the same disk, each with its durable settings.
"""
