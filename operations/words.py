"""What features and actions of the vendor's product are called; unknown ones are shown as they came."""

from collections.abc import Sequence

from flask_babel import LazyString, gettext
from flask_babel import lazy_gettext as _l

INDUSTRIES: dict[str, LazyString] = {
    "retail": _l("Retail"), "manufacturing": _l("Manufacturing"), "education": _l("Education"), "logistics": _l("Logistics"),
    "software": _l("Software"), "catering": _l("Catering"), "healthcare": _l("Healthcare"), "finance": _l("Financial services"),
    "real_estate": _l("Real estate"), "travel": _l("Travel"),
}  # fmt: skip
SIZES: dict[str, LazyString] = {"small": _l("Small"), "medium": _l("Medium-sized"), "large": _l("Large")}
FEATURES: dict[str, LazyString] = {
    "lead": _l("Leads"), "public_pool": _l("Public pool"), "opportunity": _l("Opportunities"), "joint_follow_up": _l("Joint follow-up"),
    "contact": _l("Contacts"), "order": _l("Orders"), "invoice": _l("Invoices"), "report": _l("Reports"), "message": _l("Messages"),
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
    return str(gettext("%(feature)s: %(action)s", feature=word(FEATURES, feature), action=word(ACTIONS, action)))


def steps(routine: Sequence[Sequence[str]]) -> str:
    """A routine in words, its steps joined by arrows."""
    return " → ".join(step(feature, action) for feature, action in routine)
