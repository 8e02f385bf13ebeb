"""Money is an int of minor units (cents). Decimals exist only at the edges."""

from decimal import ROUND_HALF_UP, Decimal

Cents = int


def to_decimal(cents: Cents) -> Decimal:
    """1999 -> Decimal('19.99')."""
    return Decimal(cents).scaleb(-2)


def to_number(cents: Cents) -> float:
    """1999 -> 19.99, the JSON number of the documents."""
    return float(to_decimal(cents))


def to_cents(amount: Decimal | str | float) -> Cents:
    """'19.99' -> 1999; half a cent rounds up. Floats go through their shortest text."""
    exact = amount if isinstance(amount, Decimal) else Decimal(str(amount))
    return int(exact.scaleb(2).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def share_of(paid: Cents, line: Cents, total: Cents) -> Cents:
    """What a line cost of what was really paid; a part of a cent stays in the rest.

    The two differ only where a person accepted another amount.
    """
    return line if paid == total else paid * line // total
