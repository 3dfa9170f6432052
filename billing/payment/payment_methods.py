"""Saved cards: Stripe's id and what people recognise a card by. Numbers never come here."""

import uuid
from collections.abc import Sequence
from datetime import datetime

from flask_babel import gettext as _
from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert

from billing.payment.payment_models import PaymentMethod, StripeCustomer
from billing.payment.stripe_gateway import Card
from core.db import db
from core.errors import NotFound
from core.ids import derived
from membership.models import Member


def list_cards(member_id: uuid.UUID) -> Sequence[PaymentMethod]:
    """The member's cards, the default first."""
    return db.session.scalars(
        select(PaymentMethod)
        .where(PaymentMethod.member_id == member_id, PaymentMethod.removed_at.is_(None))
        .order_by(PaymentMethod.is_default.desc(), PaymentMethod.created_at.desc(), PaymentMethod.id)
    ).all()


def chosen(member_id: uuid.UUID, card_id: uuid.UUID | None) -> PaymentMethod:
    """The card asked for, or the default one. Raises NotFound for none, a removed one, and somebody else's."""
    cards = list_cards(member_id)
    card = next((card for card in cards if card.id == card_id), None) if card_id else next(iter(cards), None)
    if card is None:
        raise NotFound(_("Choose a saved card, or save one first."), field="payment_method_id")
    return card


def customer_of(member_id: uuid.UUID) -> str | None:
    """The member's customer at Stripe, if it has one yet."""
    return db.session.scalar(select(StripeCustomer.stripe_id).where(StripeCustomer.member_id == member_id))


def keep_customer(member_id: uuid.UUID, stripe_id: str) -> str:
    """Remember the customer; who came first stays. Returns the one that counts."""
    db.session.execute(insert(StripeCustomer).values(member_id=member_id, stripe_id=stripe_id).on_conflict_do_nothing())
    found = customer_of(member_id)
    assert found
    return found


def name_of(member_id: uuid.UUID) -> str:
    """What the member is called at Stripe."""
    member = db.session.get(Member, member_id)
    assert member
    return f"{member.number} {member.name}"


def save(member_id: uuid.UUID, card: Card, *, at: datetime) -> PaymentMethod:
    """Keep a card that Stripe has attached to the member's customer; the first one is the default. Saved twice, it is one."""
    card_id = derived("card", member_id, card.stripe_id)
    _lock(member_id)
    is_first = not list_cards(member_id)
    db.session.execute(
        insert(PaymentMethod)
        .values(
            member_id=member_id,
            id=card_id,
            stripe_id=card.stripe_id,
            brand=card.brand,
            last4=card.last4,
            exp_month=card.exp_month,
            exp_year=card.exp_year,
            is_default=is_first,
            created_at=at,
            removed_at=None,
        )
        .on_conflict_do_nothing()
    )
    kept = db.session.get(PaymentMethod, (member_id, card_id))
    assert kept
    return kept


def make_default(member_id: uuid.UUID, card_id: uuid.UUID) -> PaymentMethod:
    """Use this card where none is named. Raises NotFound."""
    _lock(member_id)
    card = chosen(member_id, card_id)
    db.session.execute(update(PaymentMethod).where(PaymentMethod.member_id == member_id).values(is_default=PaymentMethod.id == card_id))
    return card


def remove(member_id: uuid.UUID, card_id: uuid.UUID, *, at: datetime) -> PaymentMethod:
    """Forget a card; the youngest of the others becomes the default. Raises NotFound."""
    _lock(member_id)
    card = chosen(member_id, card_id)
    was_default, card.removed_at, card.is_default = card.is_default, at, False
    db.session.flush()
    if was_default and (left := list_cards(member_id)):
        left[0].is_default = True
    return card


def _lock(member_id: uuid.UUID) -> None:
    """One change of a member's cards at a time: exactly one is the default."""
    db.session.execute(select(Member.id).where(Member.id == member_id).with_for_update(key_share=True))
