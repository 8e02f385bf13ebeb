"""Which passwords nobody may choose."""

from typing import Final

from models.errors import Invalid

SHORTEST: Final = 12

# With any digits and signs around them: Admin123!, password123, Welcome2026...
_GUESSED_FIRST: Final = frozenset(
    (
        "",
        *("admin", "administrator", "changeme", "default", "dragon", "football"),
        *("guest", "hosting", "iloveyou", "letmein", "login", "master", "migrahosting"),
        *("monkey", "mpanel", "p@ssw0rd", "p@ssword", "pass", "passw0rd", "password"),
        *("passwordpassword", "princess", "qwerty", "qwertyuiop", "root", "secret"),
        *("server", "sunshine", "superman", "support", "temporal", "test", "testing"),
        *("trustno1", "user", "welcome", "whatever"),
    )
)
_ROWS_OF_KEYS: Final = frozenset(
    ("1q2w3e4r5t6y", "1qaz2wsx3edc", "abcdefghijkl", "qwertyasdfgh", "asdfghjkl123")
)


def check_new(password: str, *, email: str, field: str) -> None:
    """Raises `Invalid` for what others would guess first."""
    plain = password.lower()
    core = plain.strip("0123456789!@#$%^&*()-_=+.?, ")
    if len(password) < SHORTEST:
        raise Invalid(field, f"want {SHORTEST} characters or more")
    if core in _GUESSED_FIRST or len(set(plain)) < 5 or plain in _ROWS_OF_KEYS:
        raise Invalid(field, "this is among the first that anybody would guess")
    if plain in (email, email.partition("@")[0]):
        raise Invalid(field, "want no part of the address")
