"""The publisher's API as the command line uses it. Every call may be repeated: nothing is made twice."""

import time
from types import TracebackType
from typing import Any

import httpx

TRIES = 4
WAIT_S = 1.0


class Problem(Exception):
    """The store's refusal: its sentence, and one for each field."""

    def __init__(self, answer: httpx.Response) -> None:
        try:
            told = answer.json()
        except ValueError:
            told = {}
        told = told if isinstance(told, dict) else {}
        self.status = answer.status_code
        self.code = str(told.get("code", ""))
        self.said = str(told.get("detail") or f"HTTP {answer.status_code}")
        self.fields = {one["field"]: one["detail"] for one in told.get("errors", []) if one["detail"] != self.said}
        super().__init__(self.said)


class Store:
    """A store's `/api/v1/publisher`, with one publisher's key."""

    def __init__(self, url: str, key: str, language: str) -> None:
        headers = {"Authorization": f"Bearer {key}", "Accept-Language": language}
        self._client = httpx.Client(base_url=f"{url.rstrip('/')}/api/v1/publisher", headers=headers, timeout=60)

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._client.close()

    def listing(self, slug: str) -> dict[str, Any] | None:
        """One of the publisher's own listings; None where it has none of this name."""
        try:
            return self._ask("GET", f"/listings/{slug}")
        except Problem as problem:
            if problem.status == 404 and problem.code == "not_found":
                return None
            raise

    def create(self, wanted: dict[str, Any]) -> None:
        """Begin a draft."""
        self._ask("POST", "/listings", json=wanted)

    def change(self, slug: str, changes: dict[str, Any]) -> None:
        """Bring a draft up to date."""
        self._ask("PATCH", f"/listings/{slug}", json=changes)

    def upload(self, slug: str, content: bytes, notes_zh: str, notes_en: str) -> tuple[dict[str, Any], bool]:
        """Hand a version in; False where it was there already."""
        answer = self._send(
            "POST",
            f"/listings/{slug}/versions",
            content=content,
            params={"notes_zh": notes_zh, "notes_en": notes_en},
            headers={"Content-Type": "application/zip"},
        )
        return answer.json(), answer.status_code == 202

    def version(self, slug: str, number: str) -> dict[str, Any]:
        """A version and its checks so far."""
        return self._ask("GET", f"/listings/{slug}/versions/{number}")

    def submit(self, slug: str) -> None:
        """Hand a draft to the reviewers."""
        self._ask("POST", f"/listings/{slug}/submission")

    def _ask(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        told: dict[str, Any] = self._send(method, path, **sent).json()
        return told

    def _send(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """One call; again after a short while where the network or the store is busy. Raises Problem, httpx.HTTPError."""
        for left in reversed(range(TRIES)):
            try:
                answer = self._client.request(method, path, **sent)
            except httpx.TransportError:
                if not left:
                    raise
            else:
                if answer.status_code not in (429, 502, 503, 504) or not left:
                    break
            time.sleep(WAIT_S)
        if answer.status_code >= 400:
            raise Problem(answer)
        return answer
