"""Flask's JSON, with the encoder of answers made once: making one for each answer takes longer than encoding a small one."""

import json
from typing import Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider


class Json(DefaultJSONProvider):
    """Compact answers with sorted keys, as Flask makes them."""

    def __init__(self, app: Flask) -> None:
        super().__init__(app)
        self._encode = json.JSONEncoder(default=self.default, ensure_ascii=self.ensure_ascii, sort_keys=self.sort_keys, separators=(",", ":")).encode

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        """The usual options go to the encoder that is there already, others to one of their own."""
        return self._encode(obj) if kwargs == {"separators": (",", ":")} else super().dumps(obj, **kwargs)
