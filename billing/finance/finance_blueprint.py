"""The finance console's pages share one blueprint, whichever file they are in."""

from flask import Blueprint

finance = Blueprint("finance", __name__, url_prefix="/finance")
