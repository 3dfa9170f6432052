"""What a text must be for the database to keep it."""


def is_storable(text: str) -> bool:
    """Whether PostgreSQL can keep a text: it holds no NUL, and no half of a surrogate pair."""
    if text.isascii():
        return "\x00" not in text
    return "\x00" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
