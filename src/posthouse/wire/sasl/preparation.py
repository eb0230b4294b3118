"""SASLprep (RFC 4013): names and passwords in one form, however a keyboard or a system composed them.

Code points that Unicode 3.2 did not know are let through, in stored strings as in queries, since people do use
newer characters in passwords; both ends of a comparison go through this one function.
"""

import stringprep
from unicodedata import ucd_3_2_0

# RFC 4013 §2.3
_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


class PreparationError(ValueError):
    """The text has characters that no name or password may have; the text of the error tells none of them."""


def saslprep(text: str) -> str:
    """The prepared form. Raises PreparationError for prohibited characters and for mixed directions."""
    if text.isascii():
        # RFC 4013 §2.3: ASCII control characters; everything else in ASCII stands for itself.
        if not text.isprintable():
            raise PreparationError("a control character")
        return text
    # RFC 4013 §2.1: other spaces become SPACE, what is commonly mapped to nothing goes.
    mapped = "".join(
        " " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c)
    )
    prepared = ucd_3_2_0.normalize("NFKC", mapped)
    for character in prepared:
        if any(prohibited(character) for prohibited in _PROHIBITED):
            raise PreparationError("a character that is not allowed")
    _check_direction(prepared)
    return prepared


def _check_direction(text: str) -> None:
    # RFC 3454 §6: right-to-left text begins and ends so, and has no left-to-right characters.
    if not any(stringprep.in_table_d1(c) for c in text):
        return
    if any(stringprep.in_table_d2(c) for c in text):
        raise PreparationError("mixed directions of writing")
    if not (stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])):
        raise PreparationError("right-to-left text that does not begin and end so")
