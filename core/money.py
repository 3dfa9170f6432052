"""Money arithmetic on integers in minor units (cents, 分)."""

from collections.abc import Sequence
from fractions import Fraction


def split(total_minor: int, weights: Sequence[int]) -> list[int]:
    """Share `total_minor` in proportion to `weights` by largest remainder (Hamilton's method).

    The parts always sum to the whole; ties go to the earlier part.
    Raises ValueError when no weight is positive.
    """
    whole = sum(weights)
    if whole <= 0 or any(w < 0 for w in weights):
        raise ValueError("weights must be non-negative and not all zero")
    parts = [total_minor * w // whole for w in weights]
    remainders = [(total_minor * w) % whole for w in weights]
    for i in sorted(range(len(weights)), key=lambda i: (-remainders[i], i))[: total_minor - sum(parts)]:
        parts[i] += 1
    return parts


def round_half_up(amount: Fraction) -> int:
    """The nearest whole minor unit, halves away from zero."""
    sign = -1 if amount < 0 else 1
    return sign * int(abs(amount) + Fraction(1, 2))


def tax_included(gross_minor: int, rate_bp: int) -> int:
    """The tax inside a price that includes it: gross × rate / (1 + rate); `rate_bp` in basis points (600 = 6%)."""
    return round_half_up(Fraction(gross_minor * rate_bp, 10_000 + rate_bp))


def gross_of(stated_minor: int, rate_bp: int) -> int:
    """What is paid for a price stated without tax: price + price × rate, half up. `tax_included` of it is exactly the tax that was added (decision 0049)."""
    return stated_minor + basis_points(stated_minor, rate_bp)


def basis_points(amount_minor: int, rate_bp: int) -> int:
    """`rate_bp` basis points of an amount, rounded to the nearest minor unit."""
    return round_half_up(Fraction(amount_minor * rate_bp, 10_000))
