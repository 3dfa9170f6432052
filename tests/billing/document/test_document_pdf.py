# ruff: noqa: E501 (what a page says reads best as it stands there)
"""What stands on the PDF, word by word in both languages; the same document gives the same bytes."""

import io
import uuid
from typing import Any

import pytest
from flask import Flask
from pypdf import PdfReader

from billing.document import document_contents as contents
from billing.document import document_pdf, document_words, pdf_fonts
from billing.document.document_contents import Buyer, Seller
from billing.document.document_sources import Original
from membership import taxes
from tests.billing.document.test_document_contents import BANK, entry

SELLER = Seller(
    {"name": "玉衡软件（杭州）有限公司", "name_en": "Jade Balance Software Ltd.", "tax_number": "91110000600037341L", "address_zh": "杭州市文三路 478 号",
     "address_en": "478 Wensan Road, Hangzhou", "phone": None, "email": "finance@jade.example"},
    "Asia/Shanghai", (taxes.Rate(taxes.BEGINNING, 600),), BANK,
)  # fmt: skip
BUYER = Buyer(
    {"title": "上海岚岳供应链股份有限公司", "tax_number": "91310115MA1K4BXR2H", "country": "CN", "address": None, "phone": None, "email": None,
     "order_number": "PO-7", "cost_centre": None, "member_number": "M00042"}, "zh", "charge",
)  # fmt: skip
HASH = bytes(range(32))


def issued(content: dict[str, Any], number: str) -> dict[str, Any]:
    return content | {"number": number, "issued_at": "2026-07-01T00:00:00+08:00"}


def invoice(**more: Any) -> dict[str, Any]:
    bought = entry(name_zh="逾期账款提醒", name_en="Overdue reminders", quantity=2, consumed_minor=1_234_567_80, consumed_tax_minor=69_881_20,
                   from_paid_minor=1_234_567_80 - more.get("owed_minor", 0), **more)  # fmt: skip
    return issued(contents.invoice([bought], SELLER, BUYER), "INV-2026-000123")


def text_of(pdf: bytes) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages).split())


def test_the_chinese_invoice_word_by_word(app: Flask) -> None:
    assert text_of(document_pdf.render(invoice(), HASH)) == " ".join([
        "玉衡软件（杭州）有限公司", "纳税人识别号 91110000600037341L", "地址 杭州市文三路 478 号", "邮箱 finance@jade.example",
        "商业发票", "编号", "INV-2026-000123", "开具日期", "2026-07-01", "服务期间", "2026-06-15", "币种", "CNY",
        "购买方", "上海岚岳供应链股份有限公司", "纳税人识别号", "91310115MA1K4BXR2H", "会员编号", "M00042", "采购订单号", "PO-7",
        "# 项目 数量 单价（含税） 金额（不含税） 税率 税额 价税合计",
        "1 逾期账款提醒", "2026-06-15", "2 617,283.90 1,164,686.60 6% 69,881.20 1,234,567.80",
        "不含税合计", "1,164,686.60", "增值税 6% · 1,164,686.60", "69,881.20", "价税合计", "CNY 1,234,567.80",
        "大写 人民币壹佰贰拾叁万肆仟伍佰陆拾柒元捌角", "充值余额支付", "1,234,567.80",
        "以上金额均含税。除列明应付金额外，款项已从预付钱包中扣除。", f"内容 SHA-256 {HASH.hex()}", "第 1 页，共 1 页",
    ])  # fmt: skip


def test_the_english_invoice_word_by_word(app: Flask) -> None:
    assert text_of(document_pdf.render(invoice(), HASH, "en")) == " ".join([
        "Jade Balance Software Ltd.", "Tax number 91110000600037341L", "Address 478 Wensan Road, Hangzhou", "E-mail finance@jade.example",
        "Invoice", "Number", "INV-2026-000123", "Date of issue", "2026-07-01", "Service period", "2026-06-15", "Currency", "CNY",
        "Bill to", "上海岚岳供应链股份有限公司", "Tax number", "91310115MA1K4BXR2H", "Member number", "M00042", "Your order number", "PO-7",
        "# Item Qty Unit price Net amount Tax rate Tax Amount incl. tax",
        "1 Overdue reminders", "2026-06-15", "2 617,283.90 1,164,686.60 6% 69,881.20 1,234,567.80",
        "Net total", "1,164,686.60", "VAT 6% · 1,164,686.60", "69,881.20", "Total incl. tax", "CNY 1,234,567.80",
        "Paid from prepaid money", "1,234,567.80",
        "Tax is included in the amounts. Paid from the prepaid wallet unless an amount due is shown.", f"Content SHA-256 {HASH.hex()}", "Page 1 of 1",
    ])  # fmt: skip


def test_a_credit_note_names_what_it_corrects(app: Flask) -> None:
    first = invoice()
    original = Original(uuid.UUID(int=1), uuid.UUID(int=2), uuid.UUID(first["id"]), "invoice", first["number"], None, 1_234_567_80, first["lines"], None)
    refund = entry(kind="refund", reverses_id=uuid.UUID(int=2), returned_minor=106_00, returned_tax_minor=6_00, back_paid_minor=106_00, memo="不合适")
    from dataclasses import replace
    from datetime import UTC, datetime

    note = contents.credit_note(refund, replace(original, issued_at=datetime(2026, 7, 1, tzinfo=UTC)), SELLER, BUYER)
    said = text_of(document_pdf.render(issued(note, "CN-2026-000001"), HASH))
    for words in ("贷记通知单", "冲减发票 INV-2026-000123 (2026-07-01)", "原因: 不合适", "−106.00", "−6.00", "（负数）人民币壹佰零陆元整"):
        assert words in said


def test_what_is_owed_comes_with_where_to_pay(app: Flask) -> None:
    said = text_of(document_pdf.render(invoice(owed_minor=200_00), HASH))
    assert "应付金额 200.00" in said
    assert BANK["number"] in said
    assert BANK["number"] not in text_of(document_pdf.render(invoice(), HASH))


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_same_document_gives_the_same_small_archivable_file(app: Flask, language: str) -> None:
    first, again = (document_pdf.render(invoice(), HASH, language) for _ in range(2))
    assert first == again
    assert len(first) < 100_000
    read = PdfReader(io.BytesIO(first))
    assert next(iter(read.xmp_metadata.dc_title.values())).endswith("INV-2026-000123")
    assert read.trailer["/Root"]["/Lang"] == {"zh": "zh-CN", "en": "en"}[language]
    assert read.xmp_metadata.pdfaid_part == "3"
    assert b'ModifyDate="2026-06-30T16:00:00+00:00"' in first


def test_a_long_invoice_repeats_its_head_and_counts_its_pages(app: Flask) -> None:
    bought = [entry(id=uuid.UUID(int=n), name_zh="名称很长的合同审批与归档自动化模板（含附件汇总与提醒）" * 2, name_en="x", consumed_minor=106_00, consumed_tax_minor=6_00)
              for n in range(1, 121)]  # fmt: skip
    pdf = document_pdf.render(issued(contents.invoice(bought, SELLER, BUYER), "INV-2026-000124"), HASH)
    pages = [page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages]
    assert len(pages) > 3
    assert all("价税合计" in page and f"第 {n} 页，共 {len(pages)} 页" in page for n, page in enumerate(pages, 1))
    assert len(pdf) < 200_000


def test_a_letter_that_the_font_lacks_leaves_a_box() -> None:
    assert pdf_fonts.printable("岚岳😀Ltd") == "岚岳□Ltd"


@pytest.mark.parametrize(
    ("minor", "words"),
    [
        (212_00, "贰佰壹拾贰元整"),
        (1_010_05, "壹仟零壹拾元零伍分"),
        (50, "伍角"),
        (10_000_000_07, "壹仟万元零柒分"),
        (20_000_000_000_00, "贰佰亿元整"),
        (9_007_199_254_740_99, "玖万零柒拾壹亿玖仟玖佰贰拾伍万肆仟柒佰肆拾元玖角玖分"),
    ],
)
def test_amounts_in_words(minor: int, words: str) -> None:
    assert document_words.in_capitals(minor, "CNY") == "人民币" + words
    assert document_words.in_capitals(minor, "USD") is None
