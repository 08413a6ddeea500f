"""Keys that bite: each has gone wrong in some tool."""

KEYS = [
    "plain.pdf", "two  spaces", " leading and trailing ", "a+b", "100%", "%2B", "100%25", "q?versionId=abc", "a#b", "a&b=c",
    "dir//double", "/leading", "trailing/", "tail.", "a/./b", "a/b/../../c", "..a", "ünï/é", "e\u0301", "\u202ertl", "😀", "日本",
    "cr\rlf\nx", "ctl\x01\x1f", "tab\t", "del\x7f", "~tilde", "back\\slash", "'\"<>&amp;", "x" * 1000,
]  # fmt: skip
