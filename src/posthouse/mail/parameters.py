"""Values with parameters: Content-Type, Content-Disposition (RFC 2045 §5.1, RFC 2183) and RFC 2231 within them."""


def parse_content_type(value: bytes) -> tuple[str, str, dict[str, str]] | None:
    """Type, subtype (both lower case) and parameters by lower-case name; None where there is no `type/subtype`.

    Continuations, charsets and percent escapes of RFC 2231 are resolved, encoded words in values decoded; the
    first of two parameters with one name counts; beyond 500 parameters the rest is left out.
    """
    raise NotImplementedError


def parse_token(value: bytes) -> tuple[str, dict[str, str]]:
    """The leading token in lower case (empty where there is none), and the parameters: Content-Disposition."""
    raise NotImplementedError


def format_parameters(parameters: dict[str, str]) -> str:
    """`; name=value; …`, quoted where needed, RFC 2231 with UTF-8 outside ASCII. ValueError for CR, LF and NUL."""
    raise NotImplementedError
