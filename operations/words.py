"""Words: what features and actions of the vendor's product are called, and why a member needs somebody, in a sentence."""

from collections.abc import Sequence

from flask_babel import LazyString, ngettext
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from core.formats import date, local, money, percent, span
from membership import notices
from membership.notice_models import Notice
from operations.timeline import Entry
from operations.worklist import Cause, Snapshot

FEATURES: dict[str, LazyString] = {
    "lead": _l("Leads"), "public_pool": _l("Public pool"), "opportunity": _l("Opportunities"), "joint_follow_up": _l("Joint follow-up"),
    "contact": _l("Contacts"), "order": _l("Sales orders"), "invoice": _l("Invoices"), "report": _l("Reports"), "message": _l("Messages"),
    "import": _l("Import"), "calendar": _l("Calendar"), "settings": _l("Settings"), "app": _l("Apps"),
}  # fmt: skip
ACTIONS: dict[str, LazyString] = {
    "open": _l("open"), "create": _l("create"), "edit_phone": _l("edit phone"), "assign": _l("assign"), "close": _l("close"), "claim": _l("claim"),
    "return": _l("return"), "edit_stage": _l("edit stage"), "edit_amount": _l("edit amount"), "win": _l("win"), "invite": _l("invite"),
    "note": _l("note"), "search": _l("search"), "copy_field": _l("copy field"), "paste_field": _l("paste field"), "merge": _l("merge"),
    "save": _l("save"), "edit_status": _l("edit status"), "print": _l("print"), "export": _l("export"), "send": _l("send"),
    "filter": _l("filter"), "share": _l("share"), "map_column": _l("map columns"), "run": _l("run"), "add": _l("add"), "edit": _l("edit"),
}  # fmt: skip


def word(words: dict[str, LazyString], code: str | None) -> str:
    """A code's word in the page's language, or the code itself with spaces."""
    if not code:
        return ""
    return str(words[code]) if code in words else code.replace("_", " ")


def step(feature: str, action: str) -> str:
    """One step of a routine in words: “Contacts: copy field”."""
    return str(_("%(feature)s: %(action)s", feature=word(FEATURES, feature), action=word(ACTIONS, action)))


def steps(routine: Sequence[Sequence[str]]) -> str:
    """A routine in words, its steps joined by arrows."""
    return " → ".join(step(feature, action) for feature, action in routine)


CAUSES: dict[str, LazyString] = {
    "past_due": _l("Payment past due"), "short": _l("Wallet short before renewal"), "leaving": _l("Cancelled"), "falling": _l("Use is falling"),
    "toil": _l("Repeats what an app does"), "quiet": _l("Offer unanswered"),
}  # fmt: skip
TONES = {"past_due": "danger", "short": "danger", "leaving": "warn", "falling": "warn", "toil": "brand", "quiet": "info"}
VERBS: dict[str, tuple[LazyString, str]] = {  # what to do, and where on the member's page
    "past_due": (_l("See the debt"), "money"), "short": (_l("Prepare the renewal"), "money"), "leaving": (_l("See the contract"), "money"),
    "falling": (_l("See the use"), "use"), "toil": (_l("Recommend"), "opportunities"), "quiet": (_l("Follow up"), "offers"),
}  # fmt: skip


def cause(found: Cause, member: Snapshot) -> str:
    """Why this member, why now: one sentence with its figures."""
    amount, day = money(found.money_minor, member.currency), date(found.due)
    if found.kind == "past_due":
        return str(_("%(amount)s unpaid since %(since)s; the subscription ends on %(day)s.", amount=amount, since=date(member.unpaid_since), day=day))
    if found.kind == "short":
        missing = money(found.money_minor - member.available_minor, member.currency)
        return str(_("Renews on %(day)s for %(amount)s; the wallet lacks %(missing)s.", day=day, amount=amount, missing=missing))
    if found.kind == "leaving":
        return str(_("Cancelled: a term worth %(amount)s ends on %(day)s.", amount=amount, day=day))
    if found.kind == "falling":
        use = member.figures
        return str(_("Use is down %(share)s on the four weeks before.", share=percent(abs(use.row.trend_bp or 0) / 10_000 if use else None, 0)))
    if found.kind == "quiet":
        return str(ngettext("%(num)s offer unanswered since %(day)s.", "%(num)s offers unanswered since %(day)s.", member.offers, day=date(member.quiet_since)))
    sentence = _(
        "%(time)s a month on a routine that “%(name)s” does (%(runs)s runs in 60 days).",
        time=span(member.toil_minutes or 0), name=local(member, "toil_name"), runs=member.toil_runs,
    )  # fmt: skip
    return str(sentence)


def facts(member: Snapshot) -> list[str]:
    """Quiet facts that fill up the reasons of a member that needs nobody."""
    said: list[str] = []
    use = member.figures
    if use and use.row.active_28:
        said.append(_("%(active)s of %(people)s people were active in 28 days.", active=use.row.active_28, people=use.people))
    elif use:
        said.append(_("Nobody was active in the last 28 days."))
    if member.term_end:
        said.append(
            _("The term ends on %(day)s; %(amount)s is in the wallet.", day=date(member.term_end), amount=money(member.available_minor, member.currency))
        )
    if use and use.row.automated_28:
        said.append(_("Apps did %(runs)s runs in 28 days.", runs=use.row.automated_28))
    return [str(one) for one in said]


PARTS: dict[tuple[str, str], LazyString] = {
    ("motion", "new"): _l("Subscribed"), ("motion", "renewal"): _l("Renewed"), ("motion", "seats"): _l("Seats changed"),
    ("motion", "upgrade"): _l("Upgraded"), ("motion", "downgrade"): _l("Downgraded"), ("motion", "cancel"): _l("Cancelled"),
    ("motion", "resume"): _l("Resumed"), ("motion", "past_due"): _l("Payment past due"), ("motion", "lapse"): _l("Subscription ended"),
    ("top_up", "pending"): _l("Top-up pending"), ("top_up", "settled"): _l("Topped up"), ("top_up", "failed"): _l("Top-up failed"),
    ("top_up", "cancelled"): _l("Top-up cancelled"), ("order", "completed"): _l("Bought %(name)s"), ("order", "refunded"): _l("Bought and returned %(name)s"),
    ("offer", "sent"): _l("%(by)s recommended %(name)s"), ("offer", "accepted"): _l("Accepted the offer of %(name)s"),
    ("offer", "declined"): _l("Declined %(name)s"), ("offer", "withdrawn"): _l("Offer of %(name)s withdrawn"),
    ("offer", "expired"): _l("Offer of %(name)s expired"),
    ("notice", "subscription_past_due"): _l("Told: payment past due"), ("notice", "bonus_expiring"): _l("Told: bonus expires soon"),
}  # fmt: skip
GOOD = {("motion", "new"), ("motion", "renewal"), ("motion", "upgrade"), ("top_up", "settled"), ("order", "completed"), ("offer", "accepted")}
BAD = {("motion", "past_due"), ("motion", "lapse"), ("motion", "cancel"), ("top_up", "failed"), ("offer", "declined")}


def title(entry: Entry) -> str:
    """What happened, in a few words."""
    known = PARTS.get((entry.part, entry.kind))
    return str(known) % {"name": local(entry), "by": entry.note or ""} if known else f"{entry.part} {entry.kind}".replace("_", " ")


def note(entry: Entry) -> str | None:
    """The amount, or what was said about it."""
    if entry.part == "notice" and entry.details is not None:
        return notices.sentence(Notice(kind=entry.kind, details=entry.details))
    said = [money(entry.amount_minor, entry.currency or "CNY")] if entry.amount_minor else []
    if entry.note and (entry.part, entry.kind) != ("offer", "sent"):
        methods = {"card": _("by card"), "bank_transfer": _("by bank transfer")}
        said.append(str(methods.get(entry.note, entry.note)))
    return " · ".join(said) or None


def tone(entry: Entry) -> str:
    """Colour as a second cue: ok, danger or none."""
    return "ok" if (entry.part, entry.kind) in GOOD else "danger" if (entry.part, entry.kind) in BAD else ""
