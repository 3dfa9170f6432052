"""The address everybody starts at: the landing page, or the home of one's role."""

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from core.access import public
from core.actor import MEMBER_ROLES, actor
from core.navigation import url_if

home = Blueprint("home", __name__)
HOMES = dict.fromkeys(MEMBER_ROLES, "store.home") | {
    "finance": "finance.prepaid_balances",
    "csm": "csm.worklist",
    "reviewer": "review.queue",
    "operator": "operator.list_members",
    "publisher": "publisher.list_listings",
}


def home_of(role: str) -> str:
    """Where a role's day begins; the start page where that room is not there."""
    return url_if(HOMES.get(role, "")) or url_for("home.show_home")


@home.get("/")
@public
def show_home() -> ResponseReturnValue:
    """The landing page for visitors; who is signed in goes to its own home."""
    if actor().is_signed_in and (place := url_if(HOMES.get(actor().role, ""))):
        return redirect(place)
    return render_template("account/home.html")
