"""The table of settings in `docs/configuration.md`, written from the settings themselves.

`python -m tests.support.configuration_page` brings the page up to date.
"""

from __future__ import annotations

from pathlib import Path

from chat.cli.flags import SECTIONS
from chat.config import ChatConfig
from chat.settings import settings_of

PAGE = Path(__file__).parent.parent.parent / "docs" / "configuration.md"
_BEGIN = "<!-- settings: written by tests/support/configuration_page.py -->\n"
_END = "<!-- end of settings -->\n"


def render(page: str) -> str:
    """The page with its table as it should be."""
    before, rest = page.split(_BEGIN)
    _, after = rest.split(_END)
    return before + _BEGIN + "".join(_section(path, title) for path, title in SECTIONS.items()) + _END + after


def _section(path: tuple[str, ...], title: str) -> str:
    rows = [
        f"| `{setting.name}` | {f'`{setting.shown_default}`' if setting.shown_default else '–'} | {setting.doc} |\n"
        for setting in settings_of(ChatConfig).values()
        if setting.path[:-1][:1] == path
    ]
    return f"\n### {title[0].upper()}{title[1:]}\n\n| setting | default | |\n| --- | --- | --- |\n{''.join(rows)}\n"


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text()))
