"""A publisher's notices, in the same form as a member's."""

import uuid
from typing import Any

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from core import clock
from core.access import requires
from core.actor import actor
from core.db import transaction
from marketplace.publisher import publisher_notices
from membership import mailboxes
from membership.mailboxes import Facts
from membership.notice_models import PublisherNotice

publisher_notice_pages = Blueprint("publisher_notices", __name__, url_prefix="/publisher/notices")


@publisher_notice_pages.get("")
@requires("publisher")
def list_notices() -> ResponseReturnValue:
    """What the publisher should know, the newest first."""
    with transaction(actor()):
        newest = mailboxes.of_publisher(actor().publisher).newest()
    return render_template("publisher/notices.html", newest=newest, sentence=_sentence, tone=_tone, place=_place)


@publisher_notice_pages.post("/<uuid:notice_id>/reading")
@requires("publisher")
def read_notice(notice_id: uuid.UUID) -> ResponseReturnValue:
    """Somebody has read this one."""
    with transaction(actor()):
        mailboxes.of_publisher(actor().publisher).mark_read(notice_id, at=clock.now())
    return redirect(url_for("publisher_notices.list_notices"), 303)


@publisher_notice_pages.post("/reading")
@requires("publisher")
def read_all() -> ResponseReturnValue:
    """Somebody has read all of them."""
    with transaction(actor()):
        mailboxes.of_publisher(actor().publisher).mark_all_read(at=clock.now())
    return redirect(url_for("publisher_notices.list_notices"), 303)


def _sentence(notice: PublisherNotice) -> str:
    return publisher_notices.SENTENCES[notice.kind](Facts(notice.details))


def _tone(notice: PublisherNotice) -> str:
    return publisher_notices.TONES.get(notice.kind, "ok")


def _place(notice: PublisherNotice) -> str:
    endpoint, values = publisher_notices.place(notice.kind, notice.details)
    given: dict[str, Any] = values
    return url_for(endpoint, **given)
