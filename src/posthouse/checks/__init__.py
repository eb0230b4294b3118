"""Who really sent it: SPF, DKIM, DMARC, ARC and their kin, each asked over the `Dns` port and answered by a `Verdict`.

A check is handed what it examines, the port and the time, and returns a value of its own with the verdict in it. It
does no I/O but by the port, and a fault of the DNS becomes temperror, never a guess.
"""
