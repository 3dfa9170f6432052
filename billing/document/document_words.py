"""The words around a document's content, in the reader's language."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from flask_babel import gettext as _

from billing.document.document_contents import Content
from core.formats import minor


def title(kind: str) -> str:
    """What a kind of document is called at its head."""
    return str({"receipt": _("Payment receipt"), "invoice": _("Invoice"), "credit_note": _("Credit note")}[kind])


def chosen(content: Content, name: str, language: str) -> str:
    """The text of a pair `name_zh`, `name_en` in a language, or the other one where there is none."""
    other = "en" if language == "zh" else "zh"
    return str(content.get(f"{name}_{language}") or content.get(f"{name}_{other}") or "")


def seller_name(seller: Content, language: str) -> str:
    """The seller's name; its English one where it has one."""
    return str((language == "en" and seller["name_en"]) or seller["name"])


def day(instant: str, timezone: str) -> str:
    """The day of an instant in the seller's zone."""
    return datetime.fromisoformat(instant).astimezone(ZoneInfo(timezone)).strftime("%Y-%m-%d")


def period(since: str | None, until: str | None, timezone: str) -> str:
    """First and last day of a period, its end being the first instant after it; one day where that is all."""
    if not since:
        return ""
    first = day(since, timezone)
    last = (datetime.fromisoformat(until) - timedelta(microseconds=1)).isoformat() if until else since
    last = max(first, day(last, timezone))
    return first if first == last else f"{first} – {last}"


def amount(value_minor: int, currency: str, sign: str = "") -> str:
    """An amount with thousands separators and the currency's digits, without its symbol: that stands in the head of the column."""
    return sign + minor(value_minor, currency)


def percent(rate_bp: int | None) -> str:
    """A rate for people, or a dash where the tax follows from no rate."""
    if rate_bp is None:
        return "—"
    return f"{rate_bp / 100:g}%"  # for showing only: no amount is worked out from it


def in_capitals(value_minor: int, currency: str) -> str | None:
    """The amount in the Chinese numerals that cannot be altered by a stroke (大写金额); None for other currencies."""
    if currency != "CNY":
        return None
    import cn2an  # takes a tenth of a second, which a process that writes no document need not spend when it starts

    return "人民币" + str(cn2an.an2cn(f"{value_minor // 100}.{value_minor % 100:02d}", "rmb"))


def legend(kind: str) -> str:
    """The sentence at a document's foot that says what it is good for."""
    return str(
        {
            "receipt": _("For money received in advance. It bears no tax: tax is invoiced as the money is used."),
            "invoice": _("Tax is included in the amounts. Paid from the prepaid wallet unless an amount due is shown."),
            "credit_note": _("This takes back the named invoice in the amount shown, with its tax. The money has been returned to the wallet."),
        }[kind]
    )


CAPITALS = "人民币零壹贰叁肆伍陆柒捌玖拾佰仟万亿元角分整（负数）"


def labels(kind: str) -> dict[str, str]:
    """Every fixed word that stands on a document of a kind."""
    return {
        "title": title(kind), "number": _("Number"), "issued": _("Date of issue"), "supplied": _("Service period") if kind != "receipt" else _("Received on"),
        "currency": _("Currency"), "tax_number": _("Tax number"), "address": _("Address"), "phone": _("Phone"), "email": _("E-mail"),
        "to": _("Bill to") if kind != "receipt" else _("Received from"), "member": _("Member number"), "order_number": _("Your order number"),
        "cost_centre": _("Cost centre"), "corrects": _("Corrects invoice"), "reason": _("Reason"), "original": _("Amount of that invoice"),
        "item": _("Item"), "quantity": _("Qty"), "unit": _("Unit price"), "unit_net": _("unit price without tax"),
        "net": _("Net amount"), "rate": _("Tax rate"), "tax": _("Tax"),
        "gross": _("Amount incl. tax"), "amount": _("Amount"), "date": _("Date"), "net_total": _("Net total"), "total": _total(kind),
        "in_words": _("In words"), "paid": _("Paid from prepaid money") if kind == "invoice" else _("Returned as prepaid money"),
        "bonus": _("Paid from bonus credit") if kind == "invoice" else _("Returned as bonus credit"), "owed": _("Amount due"),
        "granted": _("Bonus credit granted with it (not paid for)"), "reference": _("Payment reference"), "pay_to": _("Please transfer the amount due to"),
        "holder": _("Account holder"), "bank": _("Bank"), "account": _("Account number"), "code": _("Bank code"), "legend": legend(kind),
        "page": _("Page %(n)s of %(pages)s", n="{n}", pages="{pages}"), "proof": _("Content SHA-256"),
    }  # fmt: skip


def _total(kind: str) -> str:
    return str({"receipt": _("Total received"), "invoice": _("Total incl. tax"), "credit_note": _("Total credited incl. tax")}[kind])
