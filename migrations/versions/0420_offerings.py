"""Services on offer carry amounts, and what is sold by its terms alone keeps them in its version

Revision: 0420
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0420"
down_revision = "0440"
branch_labels = None
depends_on = None

TERMS = (
    "category", "name_zh", "name_en", "summary_zh", "summary_en", "description_zh", "description_en", "product_line", "required_rank", "required_features",
    "currency",
)  # fmt: skip
ON_OFFER = sa.text(
    "select l.*, array(select x.slug from bundle_part p join listing x on x.id = p.listing_id where p.bundle_id = l.id order by p.position) as parts"
    " from listing l where l.kind in ('service_offering', 'bundle') and l.current_version is not null"
)
ARTIFACT = sa.text("insert into artifact (sha256, filename, size, content) values (:sha256, :filename, :size, :content) on conflict do nothing")
VERSION = sa.text(
    "insert into listing_version (listing_id, number, state, is_quarantined, sha256, manifest, notes_zh, notes_en, created_at, published_at, attempt)"
    " values (:id, :number, 'published', false, :sha256, cast(:manifest as jsonb), '首次发布。', 'First release.', :at, :at, 0)"
    " on conflict (listing_id, number) do update set sha256 = excluded.sha256, manifest = excluded.manifest where listing_version.signature is null"
)


def upgrade() -> None:
    op.execute((Path(__file__).parent.parent / "sql" / "0420_offerings.sql").read_text())
    connection = op.get_bind()
    for listing in connection.execute(ON_OFFER).mappings().all():
        manifest = _manifest(listing)
        content = _packed(manifest)
        sha256 = hashlib.sha256(content).hexdigest()
        row = {"sha256": sha256, "filename": f"{listing['slug']}-{manifest['version']}.zip", "size": len(content), "content": content}
        connection.execute(ARTIFACT, row)
        at = listing["published_at"] or listing["updated_at"]
        told = json.dumps(manifest, ensure_ascii=False)
        connection.execute(VERSION, {"id": listing["id"], "number": manifest["version"], "sha256": sha256, "manifest": told, "at": at})


def _manifest(listing: Any) -> dict[str, Any]:
    """What the listing offers, as its version says it from now on."""
    terms = {"milestones": listing["milestones"]} if listing["kind"] == "service_offering" else {"price_minor": listing["price_minor"], "parts": listing["parts"]}
    return {
        "slug": listing["slug"], "version": listing["current_version"], "kind": listing["kind"], "permissions": [],
        "parameters": {"type": "object", "properties": {}}, "required_edition_rank": listing["required_rank"], "product_line": listing["product_line"],
        "required_features": list(listing["required_features"]), "offer": {**{name: listing[name] for name in TERMS}, **terms},
    }  # fmt: skip


def _packed(manifest: dict[str, Any]) -> bytes:
    """The bundle of a manifest alone: the same one gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        member = zipfile.ZipInfo("manifest.json", (1980, 1, 1, 0, 0, 0))
        member.external_attr, member.create_system = 0o100644 << 16, 3
        archive.writestr(member, json.dumps(manifest, sort_keys=True, ensure_ascii=False).encode())
    return buffer.getvalue()
