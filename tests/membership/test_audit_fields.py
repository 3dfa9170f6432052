"""Every field that the sources put into the audit trail has a name, and its values are said as pages say them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask
from flask_babel import force_locale

from billing.document import tax_pages
from core.audit import AuditEntry
from core.ids import new_id
from marketplace.publisher import draft_schemas, vendor_pages
from membership import member_facts
from membership.audit_fields import FIELDS, Change, changes

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("core", "membership", "billing", "marketplace", "operations")


def composed() -> dict[str, set[str]]:
    """Where fields are put together from elsewhere: what comes of it."""
    coupon = {"code", "currency", "percent_bp", "amount_minor", "most_uses", "first_only"}
    seller, draft = set(tax_pages.SELLER), set(draft_schemas.ListingDraftFields().fields)
    return {
        "{name: getattr(coupon, name) for name in names}": coupon,
        "{name: str(value) for name in ('listing_id', 'publisher_id') if (value := getattr(coupon, name))}": {"listing_id", "publisher_id"},
        "dict(facts)": set(member_facts.FACTS) - {"csm_id"},
        "VendorForm().load({name: value.strip() for name, value in request.form.items()})": set(vendor_pages.VendorForm().fields),
        "{name: getattr(entity, name) for name in SELLER}": seller,
        "{name: form[name] for name in SELLER}": seller,
        "{name: changes[name] for name in before}": draft,
    }


def sources() -> Iterator[tuple[Path, ast.Module]]:
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if "audit.record(" in (source := path.read_text()) or "Proposal(" in source:
                yield path, ast.parse(source)


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == name)


@dataclass(frozen=True)
class Reading:
    """Follows an expression to the keys of the dictionaries that it is made of."""

    path: Path
    tree: ast.Module
    call: ast.AST

    def functions(self) -> list[ast.FunctionDef]:
        return [node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)]

    def of(self, node: ast.expr | None) -> set[str]:
        if node is not None and (written := ast.unparse(node)) in (known := composed()):
            return known[written]
        match node:
            case None | ast.Constant(value=None):
                return set()
            case ast.Dict():
                literal = {str(key.value) for key in node.keys if isinstance(key, ast.Constant)}
                assert all(key is None or isinstance(key, ast.Constant) for key in node.keys), f"a field's key stands as a word: {ast.unparse(node)}"
                return literal.union(*(self.of(value) for key, value in zip(node.keys, node.values, strict=True) if key is None))
            case ast.BinOp(left=left, right=right):
                return self.of(left) | self.of(right)
            case ast.IfExp(body=body, orelse=orelse):
                return self.of(body) | self.of(orelse)
            case ast.Name(id=name) if assigned := list(self.assigned(name)):
                return set().union(*(self.of(one) for one in assigned)) | self.added(name)
            case ast.Call(func=ast.Name(id=name)) if found := [one for one in self.functions() if one.name == name]:
                inside = Reading(self.path, self.tree, found[0])
                return set().union(*(inside.of(one.value) for one in ast.walk(found[0]) if isinstance(one, ast.Return)))
            case ast.Attribute(attr="details"):
                return details()
        raise AssertionError(f"{self.path.name}: say in `composed` what fields come of {ast.unparse(node)}")

    def around(self) -> ast.AST:
        return next((one for one in self.functions() if any(node is self.call for node in ast.walk(one))), self.tree)

    def assigned(self, name: str) -> Iterator[ast.expr]:
        for node in ast.walk(self.around()):
            if isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
                targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
                if any(isinstance(one, ast.Name) and one.id == name for one in targets):
                    yield node.value

    def added(self, name: str) -> set[str]:
        """`name["key"] = …`"""
        stored = (node for node in ast.walk(self.around()) if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store))
        return {str(one.slice.value) for one in stored if ast.unparse(one.value) == name and isinstance(one.slice, ast.Constant)}


def details() -> set[str]:
    """What proposals of a decision about money keep besides the amount."""
    return {key for path, tree in sources() for call in calls(tree, "Proposal") for key in Reading(path, tree, call).of(call.args[7])}


def recorded() -> set[str]:
    found: set[str] = set()
    for path, tree in sources():
        for call in calls(tree, "audit.record"):
            for given in call.keywords:
                if given.arg in ("before", "after"):
                    found |= Reading(path, tree, call).of(given.value)
    return found


def entry(before: dict[str, Any] | None, after: dict[str, Any] | None) -> AuditEntry:
    return AuditEntry(id=new_id(), at=datetime(2026, 6, 15, 4, 0, tzinfo=UTC), action="ship.launch", subject="x", before=before, after=after)


def test_every_recorded_field_has_a_name_in_both_languages(app: Flask) -> None:
    found = recorded()
    assert len(found) > 90
    assert found - set(FIELDS) == set(), "a field that is recorded needs a name in membership/audit_fields.py"
    assert set(FIELDS) - found == set(), "no name for what nobody records"
    for language in ("en", "zh"):
        with app.test_request_context(), force_locale(language):
            assert not [key for key, name in FIELDS.items() if str(name) == key]


def test_values_are_said_as_pages_say_them(app: Flask) -> None:
    told = entry(
        {"price_minor": 120_00, "first_only": False, "ends_at": None, "state": "draft"},
        {"price_minor": 150_00, "first_only": True, "ends_at": "2026-06-30T16:00:00+00:00", "state": "in_review", "currency": "USD"},
    )
    with app.test_request_context(), force_locale("en"):
        assert changes(told) == [
            Change("Price", "$120.00", "$150.00"), Change("First purchase only", "No", "Yes"), Change("Ends at", "--", "2026-07-01 00:00:00"),
            Change("State", "draft", "in review"), Change("Currency", None, "USD"),
        ]  # fmt: skip
    with app.test_request_context(), force_locale("zh"):
        assert changes(told)[1:4] == [Change("仅限首次购买", "否", "是"), Change("结束时间", "--", "2026-07-01 00:00:00"), Change("状态", "草稿", "审核中")]


def test_what_stays_is_left_out_and_what_is_gone_is_told(app: Flask) -> None:
    with app.test_request_context(), force_locale("en"):
        assert changes(entry({"name": "A", "phone": "1"}, {"name": "A", "phone": "2"})) == [Change("Phone", "1", "2")]
        assert changes(entry({"valid_from": "2026-01-01T00:00:00+00:00"}, None)) == [Change("Holds from", "2026-01-01 08:00:00", None)]
        assert changes(entry(None, None)) == []


def test_amounts_take_the_members_currency_and_none_is_made_up(app: Flask) -> None:
    held = entry({"released_minor": 0}, {"released_minor": 1_234_50})
    with app.test_request_context(), force_locale("en"):
        assert changes(held, "EUR") == [Change("Given back", "€0.00", "€1,234.50")]
        assert changes(held) == [Change("Given back", "0.00", "1,234.50")]


def test_lists_rates_and_what_is_not_known(app: Flask) -> None:
    with app.test_request_context(), force_locale("en"):
        told = entry(
            None, {"tiers": [[1000_00, 50_00], [5000_00, 300_00]], "currency": "CNY", "rate_bp": 650, "parts": ["a", "b"], "crm": "1.5", "ends_at": "never"}
        )
        assert [(one.name, one.after) for one in changes(told)] == [
            ("Steps (top-up, bonus)", "¥1,000.00 / ¥50.00; ¥5,000.00 / ¥300.00"), ("Currency", "CNY"), ("Tax rate", "6.5%"), ("Listings it holds", "a / b"),
            ("crm", "1.5"), ("Ends at", "never"),
        ]  # fmt: skip
