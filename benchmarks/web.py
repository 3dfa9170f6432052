"""The product's own application, plus one empty authenticated route to measure it against."""

from flask import Flask
from flask_smorest import Blueprint
from marshmallow import Schema, fields

import app as product
from core.access import requires
from core.server import Server
from core.settings import Settings

blp = Blueprint("empty", __name__, url_prefix="/api/v1")


class EmptyIn(Schema):
    """As small a body as a purchase has."""

    id = fields.UUID(required=True)
    price_minor = fields.Integer(required=True)


class EmptyOut(Schema):
    """An answer with nothing in it."""


@blp.post("/empty")
@blp.arguments(EmptyIn())
@blp.response(201, EmptyOut)
@requires("owner", "buyer")
def create_nothing(_empty_in: dict[str, object]) -> dict[str, object]:
    return {}


def create_app() -> Flask:
    """The product's app with the empty route in it."""
    if blp not in product.APIS:  # a benchmark may make several
        product.APIS.append(blp)
    return product.create_app(Settings.from_env())


def create_server() -> Server:
    """The same as `make run` serves it."""
    return product.serve(create_app())
