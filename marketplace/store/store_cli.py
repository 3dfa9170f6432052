"""`flask store …`: fill the store, and bring derived figures up to date."""

from pathlib import Path

import click
from flask.cli import AppGroup
from sqlalchemy import select

from core.clock import now
from core.db import SYSTEM, transaction
from marketplace.checks import pipeline, shipped, signing
from marketplace.publisher import publishers
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import bundles, publishing
from marketplace.sandbox.limits import Limits
from marketplace.store import reviews, search_terms
from marketplace.store.listing_models import Listing
from membership.entity_models import LegalEntity

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
        for listing in [*offered, *bundles.load_updates()]:
            publishing.publish(listing, known[listing.publisher], at)
    click.echo(f"{len(offered)} listings on sale")


@store_cli.command("reindex")
def reindex() -> None:
    """Make the search index and the ratings of all listings anew."""
    with transaction(SYSTEM) as session:
        rows = session.execute(select(Listing, Publisher).join(Publisher, Publisher.id == Listing.publisher_id)).all()
        for listing, publisher in rows:
            listing.search = search_terms.vector_of(listing, publisher)
        reviews.recount_all()
    click.echo(f"{len(rows)} listings indexed")


@store_cli.command("check-showcase")
@click.option("--keys", type=click.Path(path_type=Path), default=Path("var/showcase-keys"), help="Where the signing key lies; made when there is none.")
@click.option("--rotate", is_flag=True, help="Make a new key, which signs from now on.")
def check_showcase(keys: Path, rotate: bool) -> None:
    """Check every showcase bundle in the sandbox and write its signed record beside it."""
    key = signing.new_key(keys) if rotate else signing.key_in(keys)
    shipped.publish_key(key)
    failed = 0
    for listing in [*bundles.load_showcase(), *bundles.load_updates()]:
        records = shipped.make(listing.folder, key, Limits())
        wrong = [one for one in records if one.state != "passed"]
        failed += bool(wrong)
        click.echo(f"{listing.slug}: {'passed' if not wrong else ', '.join(f'{one.name} {one.state}' for one in wrong)}")
        for finding in (finding for one in wrong for finding in one.findings):
            click.echo(f"    {finding.where} {finding.rule}: {finding.what}")
    if failed:
        raise click.ClickException(f"{failed} bundles did not pass")


@store_cli.command("check")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
def check_folder(folder: Path) -> None:
    """Check a bundle's FOLDER on this machine by the same code that the store uses; nothing is uploaded."""
    try:
        bundle = bundles.build(folder)
    except bundles.BundleInvalid as error:
        raise click.ClickException(error.detail) from error
    records = pipeline.Check(bundle.content, bundle.manifest["kind"], Limits(), _tell).run()
    if any(record.state != pipeline.PASSED for record in records):
        raise click.ClickException("not all checks have passed")
    click.echo(f"all checks have passed; sha256 {bundle.sha256}")


def _tell(record: pipeline.Record) -> None:
    """One line a check that has ended, and one a finding, with its fix."""
    if record.state in (pipeline.RUNNING, pipeline.WAITING):
        return
    click.echo(f"{record.name:10} {record.state}")
    for finding in record.findings:
        click.echo(f"           {finding.where} {finding.sentence} {finding.fix}")
