"""Awkward names, keys and ids.

Each of them is legal and has broken a migration somewhere.
"""

from __future__ import annotations

import unicodedata

NAMES = (
    "Übernahmevertrag – endgültig (2).pdf",
    "契約書 2024.docx",
    "Договор аренды.txt",
    "📈 growth.png",
    "مذكرة تفاهم.pdf",  # right to left
    "invoice\u202efdp.txt",  # a right-to-left override: looks like "invoicetxt.pdf"
    "é" * 125 + ".docx",  # 255 bytes
    "long " * 98 + ".txt",
    "Minutes.pdf",
    "Minutes.pdf",  # two documents with the same name
    unicodedata.normalize("NFC", "Résumé.pdf"),
    unicodedata.normalize("NFD", "Résumé.pdf"),
    "CON.txt",
    "a/b\\c:d*e?.txt",
    "  leading and trailing . ",
    "line\nbreak.csv",
    "no extension",
    "'; DROP TABLE documents; --.txt",
)

KEYS = (
    "uploads/with spaces/a + b.pdf",
    "uploads/plus+plus.txt",
    "uploads/plus plus.txt",  # the key above, if decoded once too often
    "uploads/percent%20sign.txt",
    "uploads/percent sign.txt",  # the same for a percent-encoded key
    "uploads/percent%2Fslash.txt",
    "uploads/100% sure.txt",
    "uploads/hash#tag.txt",
    "uploads/what?versionId=null",
    "uploads/what",  # the key above, if cut at its question mark
    "uploads/ünïcödé/文件.pdf",
    unicodedata.normalize("NFC", "uploads/café.txt"),
    unicodedata.normalize("NFD", "uploads/café.txt"),
    "uploads/📄 sheet.png",
    "uploads/a&b<c>\"d'e.txt",
    "uploads/double  space.txt",
    "uploads//double-slash.txt",
    "uploads/equals=and;semi,comma@at.txt",
    "uploads/back\\slash.txt",
    "uploads/trailing.",
    "uploads/~tilde!bang$dollar(paren)*star.txt",
    "uploads/" + "k" * 900,
)

IDS = ("legacy/2019?draft=1", "..", "ключ-7", "UPPER lower", "0", "x" * 255)
