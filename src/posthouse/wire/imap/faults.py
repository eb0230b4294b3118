"""What may be wrong with a command, and which response condition says so (RFC 3501 §7.1)."""


class Malformed(ValueError):
    """The command cannot be read: answered with BAD and counted. Its text is one clear sentence of ASCII."""


class Incomplete(Malformed):
    """A literal is announced whose octets are not there yet."""


class Refusal(Exception):
    """The command can be read but not carried out: answered with NO.

    `code` is the response code without brackets, `"BADCHARSET (US-ASCII UTF-8)"`, or empty (RFC 5530).
    """

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
