"""Secrets that slipped into a bundle: keys and passwords of well-known shapes."""

import re
from collections.abc import Iterator, Mapping

from marketplace.checks.findings import Finding
from marketplace.checks.unpack import TEXTS

SHAPES = (
    ("private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----")),
    ("AWS key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("Alibaba Cloud key", re.compile(r"\bLTAI[0-9A-Za-z]{12,30}\b")),
    ("Tencent Cloud key", re.compile(r"\bAKID[0-9A-Za-z]{32}\b")),
    ("GitHub token", re.compile(r"\b(?:ghp|gho|ghu|ghs|ghr|github_pat)_[0-9A-Za-z_]{20,}\b")),
    ("Slack token", re.compile(r"\bxox[abprs]-[0-9A-Za-z-]{10,}")),
    ("Stripe key", re.compile(r"\b(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{10,}\b|\bwhsec_[0-9A-Za-z]{16,}\b")),
    ("Google key", re.compile(r"\bAIza[0-9A-Za-z_-]{35}\b")),
    ("JSON Web Token", re.compile(r"\beyJ[0-9A-Za-z_-]{10,}\.eyJ[0-9A-Za-z_-]{10,}\.[0-9A-Za-z_-]{10,}\b")),
    ("password in an address", re.compile(r"\b[a-z][a-z0-9+]{2,20}://[^\s/:@{}]{1,80}:[^\s/:@{}]{3,80}@")),
    ("password", re.compile(r"""(?i)\b(?:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|token)["']?\s{0,4}[:=]\s{0,4}["'][^"'\s{}$]{8,80}["']""")),
    ("webhook address", re.compile(r"https://(?:qyapi\.weixin\.qq\.com/cgi-bin/webhook/send\?key=|oapi\.dingtalk\.com/robot/send\?access_token=|open\.feishu\.cn/open-apis/bot/v2/hook/|hooks\.slack\.com/services/)[0-9A-Za-z/_-]{8,}")),
)  # fmt: skip
MOST = 20


def findings(files: Mapping[str, bytes]) -> list[Finding]:
    """Each secret by file and line, shown as far as its owner will know it again."""
    return list(_found(files))[:MOST]


def _found(files: Mapping[str, bytes]) -> Iterator[Finding]:
    for name, content in files.items():
        if not name.lower().endswith(TEXTS):
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
            for what, shape in SHAPES:
                if found := shape.search(line):
                    yield Finding("secret", f"{what} ({found[0][:6]}…)", name, number)
