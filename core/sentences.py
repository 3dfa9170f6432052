"""What marshmallow and Werkzeug say about wrong input, in the reader's language.

Their sentences come ready-made, numbers included; so they are recognised here and said again through the catalogue.
"""

import re

from flask_babel import gettext as _


def _l(text: str) -> str:
    """Mark a sentence for the catalogue; it is translated when it is said."""
    return text


_PLAIN = (
    _l("Missing data for required field."),
    _l("Field may not be null."),
    _l("Invalid value."),
    _l("Invalid input type."),
    _l("Unknown field."),
    _l("Not a valid string."),
    _l("Not a valid integer."),
    _l("Not a valid number."),
    _l("Number too large."),
    _l("Not a valid UUID."),
    _l("Not a valid boolean."),
    _l("Not a valid date."),
    _l("Not a valid datetime."),
    _l("Not a valid aware datetime."),
    _l("Not a valid list."),
    _l("String does not match expected pattern."),
    _l("Invalid JSON body."),
    _l("The data value transmitted exceeds the capacity limit."),
)
_NUMBERED = (
    (r"Must be greater than or equal to (?P<least>\S+) and less than or equal to (?P<most>\S+)\.", _l("Must be from %(least)s to %(most)s.")),
    (r"Must be greater than or equal to (?P<least>\S+)\.", _l("Must be at least %(least)s.")),
    (r"Must be less than or equal to (?P<most>\S+)\.", _l("Must be at most %(most)s.")),
    (r"Length must be between (?P<least>\d+) and (?P<most>\d+)\.", _l("Give %(least)s to %(most)s characters.")),
    (r"Shorter than minimum length (?P<least>\d+)\.", _l("Give at least %(least)s characters.")),
    (r"Longer than maximum length (?P<most>\d+)\.", _l("Give at most %(most)s characters.")),
    (r"Must be one of: (?P<choices>.*)\.", _l("Must be one of: %(choices)s.")),
)
_PATTERNS = [(re.compile(pattern, re.DOTALL), said) for pattern, said in _NUMBERED]


def say(text: object) -> str:
    """A sentence of ours or of a library in the reader's language; what nobody translated stays as it is."""
    plain = str(text) if text else ""
    if not plain:
        return ""  # gettext's own entry of the empty text is the catalogue's header
    for pattern, said in _PATTERNS:
        found = pattern.fullmatch(plain)
        if found:
            return str(_(said, **found.groupdict()))
    return str(_(plain))
