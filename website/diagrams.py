"""A block of Mermaid in a frame of its own: a diagram wider than a phone scrolls in it instead of shrinking to dust."""

from __future__ import annotations

import html


def format_diagram(source: str, _language: str, css_class: str, _options: object, _md: object, **_: object) -> str:
    """Return the HTML of a block of Mermaid, as pymdownx.superfences asks for it.

    >>> format_diagram("flowchart LR", "mermaid", "mermaid", {}, None)
    '<div class="diagram wide"><pre class="mermaid"><code>flowchart LR</code></pre></div>'
    """
    is_wide = source.split()[:2] == ["flowchart", "LR"]
    block = f'<pre class="{css_class}"><code>{html.escape(source, quote=False)}</code></pre>'
    return f'<div class="diagram{" wide" if is_wide else ""}">{block}</div>'
