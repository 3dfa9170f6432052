"""`flask store …`: fill the store, and bring derived figures up to date."""

import click
from flask.cli import AppGroup
from sqlalchemy import select

from core.clock import now
from core.db import SYSTEM, transaction
from marketplace import bundles, publishers, publishing, reviews
from marketplace.models import Listing, Publisher
from membership.models import LegalEntity

store_cli = AppGroup("store", help="The store's listings.")


@store_cli.command("publish-showcase")
def publish_showcase() -> None:
    """Put the showcase listings on sale, or bring them up to date; again and again without harm."""
    at = now()
    with transaction(SYSTEM) as session:
        entity = session.scalars(select(LegalEntity).order_by(LegalEntity.id).limit(1)).one_or_none()
        if entity is None:
            raise click.ClickException("there is no legal entity yet: load the demo world, or make one")
        known = {code: publishers.ensure(code, *words, entity_id=entity.id, currency=entity.currency, at=at) for code, words in publishers.SHOWCASE.items()}
        offered = bundles.load_showcase()
        for listing in offered:
            publishing.publish(listing, known[listing.publisher], at)
    click.echo(f"{len(offered)} listings on sale")


@store_cli.command("reindex")
def reindex() -> None:
    """Make the search index and the ratings of all listings anew."""
    with transaction(SYSTEM) as session:
        rows = session.execute(select(Listing, Publisher).join(Publisher, Publisher.id == Listing.publisher_id)).all()
        for listing, publisher in rows:
            listing.search = publishing.vector_of(listing, publisher)
        reviews.recount_all()
    click.echo(f"{len(rows)} listings indexed")
