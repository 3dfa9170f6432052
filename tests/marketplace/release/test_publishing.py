"""How versions come into the store: from the showcase, and from a publisher past a reviewer."""

import hashlib
import io
import stat
import time
import zipfile

import pytest
from flask_babel import force_locale
from sqlalchemy import select, text
from sqlalchemy.exc import ProgrammingError

from core.actor import Actor, set_actor
from core.audit import AuditEntry
from core.db import SYSTEM, transaction
from core.errors import NotFound
from marketplace.checks import jobs
from marketplace.publisher import publishers
from marketplace.publisher.publisher_models import Publisher
from marketplace.release import bundles, publishing, submissions
from marketplace.release.version_models import Artifact, ListingVersion
from marketplace.sandbox import box
from marketplace.store import listings, search_terms
from marketplace.store.listing_models import Listing
from tests.factories import AT, make_member
from tests.marketplace.store_world import FREE, buy, open_store, repack, unzip, zip_of

SLUG = "quote-document"


@pytest.fixture
def store(app):
    with force_locale("en"):
        yield open_store(FREE, SLUG, "order-split-by-region")


def listing_of(session, slug=FREE):
    return session.query(Listing).filter_by(slug=slug).one()


def content_of(slug=FREE):
    with transaction(SYSTEM) as session:
        listing = listing_of(session, slug)
        version = session.get(ListingVersion, (listing.id, listing.current_version))
        return session.get(Artifact, version.sha256).content


def publisher_of(slug=FREE):
    with transaction(SYSTEM) as session:
        owner = listing_of(session, slug).publisher_id
    return Actor(kind="publisher", role="publisher", name="Pat", publisher_id=owner)


def hand_in(slug=FREE, content=None, version="9.0.0", acting=None, **manifest):
    acting, content = acting or publisher_of(slug), content or repack(content_of(slug), version, **manifest)
    with transaction(acting):
        return submissions.submit(publishers.own_listing(acting.publisher_id, slug), content, "新", "", "Pat", at=AT)


MORE = ["contact:read", "contact:write", "order:read"]  # one permission more: a person must look at it


def submit(slug=FREE, content=None, version="9.0.0", acting=None, **manifest):
    """Handed in and checked: it waits for a reviewer."""
    handed = hand_in(slug, content, version, acting, **({} if content else {"permissions": MORE}) | manifest)
    jobs.check_version(str(handed.listing_id), handed.number)
    with transaction(SYSTEM) as session:
        return session.get(ListingVersion, (handed.listing_id, handed.number))


needs_sandbox = pytest.mark.skipif(box.unavailable() is not None, reason=f"no sandbox here: {box.unavailable()}")
REVIEWER = Actor(kind="staff", role="reviewer", name="Rhea")


def test_the_whole_showcase_is_published_in_a_second_or_so(app):
    open_store(FREE)
    began = time.perf_counter()
    ids = open_store()
    assert time.perf_counter() - began < 3
    assert len(ids) == len(bundles.load_showcase())


def test_publishing_again_changes_nothing(store):
    with transaction(SYSTEM) as session:
        before = {one.slug: (one.revision, one.updated_at) for one in session.query(Listing)}
    open_store(FREE, SLUG, "order-split-by-region")
    with transaction(SYSTEM) as session:
        assert {one.slug: (one.revision, one.updated_at) for one in session.query(Listing)} == before


def test_a_new_price_counts_the_revision_up(store):
    from dataclasses import replace

    with transaction(SYSTEM) as session:
        offered = replace(next(one for one in bundles.load_showcase() if one.slug == SLUG), price_minor=12_300)
        publishing.publish(offered, session.get(Publisher, listing_of(session, SLUG).publisher_id), AT)
    with transaction(SYSTEM) as session:
        assert (listing_of(session, SLUG).price_minor, listing_of(session, SLUG).revision) == (12_300, 2)


def test_a_version_number_is_never_used_for_other_content(store, tmp_path):
    from dataclasses import replace

    offered = next(one for one in bundles.load_showcase() if one.slug == FREE)
    for name, data in unzip(content_of(FREE)).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "README.md").write_text("other")
    with pytest.raises(publishing.VersionReused), transaction(SYSTEM) as session:
        publishing.publish(replace(offered, folder=tmp_path), session.get(Publisher, listing_of(session).publisher_id), AT)


def test_the_hash_is_that_of_the_content(store):
    with transaction(SYSTEM) as session:
        for artifact in session.query(Artifact):
            assert hashlib.sha256(artifact.content).hexdigest() == artifact.sha256
            assert len(artifact.content) == artifact.size


def test_terms_hold_characters_pairs_and_words():
    assert search_terms.terms_of("清洗 Phone-２") == ["清", "清洗", "洗", "phone", "2"]
    assert search_terms.search_vector([("A", ["清洗"]), ("B", ["清"])]) == "'洗':3A '清':1A,4B '清洗':2A"


# --- handing in -----------------------------------------------------------------------------------------------------------------


def test_a_submission_waits_and_is_not_on_sale(store):
    version = submit()
    assert version.state == "in_review"
    with transaction(SYSTEM) as session:
        assert listing_of(session).current_version == "1.0.0"
        assert [one.version.number for one in submissions.queue()] == ["9.0.0"]
        assert [one.number for one in listings.public_versions(version.listing_id)] == ["1.0.0"]


@needs_sandbox
def test_approval_puts_it_on_sale_and_buyers_see_the_update(store):
    from marketplace.license import downloads, licenses
    from tests.marketplace.store_world import acting_for

    member = make_member()
    license_id = buy(member, FREE)
    with transaction(acting_for(member)):
        downloads.hand_out(member.id, license_id, at=AT)
        assert licenses.owned(member.id, license_id).update is None
    submit()
    with transaction(REVIEWER):
        submissions.approve(FREE, "9.0.0", at=AT)
    with transaction(acting_for(member)):
        assert licenses.owned(member.id, license_id).update == "9.0.0"
        assert downloads.hand_out(member.id, license_id, at=AT).version == "9.0.0"
        assert licenses.owned(member.id, license_id).update is None


@needs_sandbox
def test_decisions_are_audited_and_made_once(app, store):
    submit(permissions=["contact:read", "order:read"])
    with app.test_request_context("/"):
        set_actor(REVIEWER)
        with transaction(REVIEWER):
            (waiting,) = submissions.queue()
            assert (waiting.added, waiting.removed) == (["order:read"], ["contact:write"])
            submissions.reject(FREE, "9.0.0", "task.robot:3 asks too much", at=AT)
        with pytest.raises(submissions.AlreadyDecided), transaction(REVIEWER):
            submissions.approve(FREE, "9.0.0", at=AT)
    with transaction(SYSTEM) as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "version.rejected")).one()
        assert (entry.actor_role, entry.actor_name, entry.reason) == ("reviewer", "Rhea", "task.robot:3 asks too much")
        assert listing_of(session).current_version == "1.0.0"


def test_a_number_handed_in_once_is_gone_even_when_sent_back(store):
    submit()
    with transaction(REVIEWER):
        submissions.reject(FREE, "9.0.0", "no", at=AT)
    with pytest.raises(publishing.VersionReused):
        hand_in(content=repack(content_of(), "9.0.0", host_version=">=1.1,<2.0"))


@pytest.mark.parametrize("version", ["1.0.0", "0.9.0"])
def test_a_version_must_be_newer(store, version):
    with pytest.raises(submissions.SubmissionInvalid, match="not newer"):
        hand_in(version=version)


def _link(name="link", target="/etc/passwd"):
    def change(files):
        buffer = io.BytesIO(zip_of(files))
        with zipfile.ZipFile(buffer, "a") as archive:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, target)
        return buffer.getvalue()

    return change


def _with(**extra):
    return lambda files: zip_of({**files, **extra})


def _without(name):
    return lambda files: zip_of({key: value for key, value in files.items() if key != name})


def _bomb(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        for n in range(5):
            archive.writestr(f"zeros-{n}", bytes(20 << 20))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_with(**{"../evil.txt": b"x"}), "evil.txt"),
        (_with(**{"/etc/passwd": b"x"}), "/etc/passwd"),
        (_with(**{"a\\..\\b": b"x"}), "inside the bundle"),
        (_with(**{"C:/x": b"x"}), "inside the bundle"),
        (_with(**{"README.MD": b"x"}), "same name"),
        (_with(**{f"f{n}": b"" for n in range(600)}), "more than 500 files"),
        (_with(**{"manifest.json": b"{"}), "not valid JSON"),
        (_with(**{"manifest.json": b"\xff\xfe"}), "not valid JSON"),
        (_with(**{"manifest.json": b"[]"}), "manifest.json at"),
        (_without("manifest.json"), "missing"),
        (_without("task.robot"), "does not hold it"),
        (_link(), "links"),
        (_bomb, "larger than 64 MB"),
        (lambda _files: b"not a zip", "not a zip"),
        (lambda files: zip_of(files)[:-40], "not a zip"),
        (lambda _files: bytes((16 << 20) + 1), "larger than 16 MB"),
    ],
)
def test_what_is_unsafe_or_wrong_is_refused_in_words(store, change, says):
    files = unzip(repack(content_of(), "9.0.0"))
    with pytest.raises(submissions.SubmissionInvalid, match=says) as caught:
        hand_in(content=change(files))
    assert caught.value.fields["bundle"]
    with transaction(SYSTEM):
        assert not submissions.queue()


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
def test_what_no_database_stores_is_refused_too(store, text):
    with pytest.raises(submissions.SubmissionInvalid, match="name_en"):
        hand_in(name_en=text)


def test_a_bundle_must_be_of_its_listing(store):
    with pytest.raises(submissions.SubmissionInvalid, match="slug"):
        hand_in(slug=FREE, content=repack(content_of(SLUG), "9.0.0"))


def test_a_damaged_file_inside_is_refused(store):
    content = bytearray(repack(content_of(), "9.0.0"))
    at = content.find(b"***")  # inside the robot task, which is stored uncompressed
    content[at] ^= 0xFF
    with pytest.raises(submissions.SubmissionInvalid, match="damaged"):
        hand_in(content=bytes(content))


def test_another_publishers_listing_does_not_exist(store):
    stranger = publisher_of("order-split-by-region")
    assert stranger.publisher_id != publisher_of(FREE).publisher_id
    with pytest.raises(NotFound):
        hand_in(acting=stranger)


@pytest.mark.parametrize(
    "sql",
    [
        "update listing_version set state = 'published'",
        "update artifact set content = ''",
        "insert into listing_version (listing_id, number, state, sha256, manifest, notes_zh, notes_en, created_at, is_quarantined, attempt)"
        " select listing_id, '8.0.0', 'draft', sha256, manifest, '', '', created_at, false, 0 from listing_version where number = '1.0.0'",
        "insert into listing_version (listing_id, number, state, sha256, manifest, notes_zh, notes_en, created_at, is_quarantined, attempt)"
        " select v.listing_id, '8.0.0', 'published', v.sha256, v.manifest, '', '', v.created_at, false, 0 from listing_version v"
        " join listing l on l.id = v.listing_id where l.publisher_id = nullif(current_setting('app.publisher_id', true), '')::uuid",
        "insert into version_check select listing_id, number, 9, name, position, 'passed', findings, detail from version_check limit 1",
        "update version_check set state = 'failed'",
        "delete from version_transition",
        "delete from review",
        "select * from wallet",
    ],
)
def test_the_database_itself_keeps_publishers_in_their_place(store, sql):
    """Row-level security: as a publisher of one listing, nothing can be sold, released or changed past a reviewer."""
    with pytest.raises(ProgrammingError), transaction(publisher_of("order-split-by-region")) as session:
        session.execute(text(sql))


@needs_sandbox
def test_a_yanked_version_gives_way_to_the_one_before(store):
    submit()
    with transaction(REVIEWER) as session:
        submissions.approve(FREE, "9.0.0", at=AT)
        publishing.yank(listing_of(session), "9.0.0", "writes wrong numbers", AT)
    with transaction(SYSTEM) as session:
        assert listing_of(session).current_version == "1.0.0"
        newest, _first = listings.public_versions(listing_of(session).id)
        assert (newest.state, newest.yanked_reason) == ("yanked", "writes wrong numbers")
