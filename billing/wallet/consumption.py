"""Which money a charge takes, as previews tell it: the rule of `charge_many`, which decides."""


def bonus_part(order: str, total_minor: int, capable_minor: int, bonus_minor: int, paid_minor: int) -> int:
    """How much of `total_minor` bonus pays, when it may pay `capable_minor` of it and a wallet has so much free of each kind.

    bonus_first: all it can. paid_first: only what paid money lacks. proportional: its share of the free money, by largest remainder; more where
    paid money lacks.
    """
    usable = min(capable_minor, bonus_minor, total_minor)
    lacking = max(total_minor - paid_minor, 0)
    if order == "paid_first":
        return min(usable, lacking)
    if order == "proportional" and bonus_minor:
        whole = bonus_minor + paid_minor
        return min(usable, max((2 * total_minor * bonus_minor + whole) // (2 * whole), lacking))
    return usable
