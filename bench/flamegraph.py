"""Flame graphs: collapsed stacks (`a;b;c 12`, one a line) to an SVG that needs no script.

After Brendan Gregg's: width is the share of samples, depth is the stack, and the colour only tells neighbours apart.
"""

from __future__ import annotations

import colorsys
import dataclasses
import html
import zlib
from collections.abc import Iterable, Iterator

WIDTH = 1_400
ROW = 16
_SMALLEST = 0.5
"""Narrower frames, in pixels, are left out."""
_CHARACTER = 6.2
"""The width of a letter, roughly."""


@dataclasses.dataclass(slots=True)
class Node:
    """A function as called by its parents."""

    samples: int = 0
    children: dict[str, Node] = dataclasses.field(default_factory=dict)


def tree(lines: Iterable[str]) -> Node:
    """The stacks as a tree; lines that are no stack are skipped."""
    root = Node()
    for line in lines:
        stack, _, count = line.strip().rpartition(" ")
        if not stack or not count.isdigit():
            continue
        node = root
        node.samples += int(count)
        for name in stack.split(";"):
            node = node.children.setdefault(name, Node())
            node.samples += int(count)
    return root


def svg(root: Node, title: str) -> str:
    """The picture: callers at the bottom. Hovering over a frame tells its share."""
    height = (_depth(root) + 3) * ROW
    frames = "\n".join(_frames(root, 0.0, 0, root.samples, height))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'font-family="Verdana, sans-serif" font-size="10">\n'
        f'<rect width="100%" height="100%" fill="#fffdf7"/>\n'
        f'<text x="{WIDTH / 2}" y="18" text-anchor="middle" font-size="14">{html.escape(title)}</text>\n'
        f"{frames}\n</svg>\n"
    )


def _depth(node: Node) -> int:
    return 1 + max((_depth(child) for child in node.children.values()), default=0)


def _frames(node: Node, x: float, level: int, total: int, height: int) -> Iterator[str]:
    for name in sorted(node.children):
        child = node.children[name]
        width = WIDTH * child.samples / total
        if width >= _SMALLEST:
            yield _frame(name, x, height - (level + 1) * ROW - 4, width, child.samples / total)
            yield from _frames(child, x, level + 1, total, height)
        x += width


def _frame(name: str, x: float, y: float, width: float, share: float) -> str:
    letters = int(width / _CHARACTER)
    label = name if len(name) <= letters else name[: letters - 2] + "…" if letters > 3 else ""
    text = f'<text x="{x + 2:.1f}" y="{y + 11}">{html.escape(label)}</text>' if label else ""
    return (
        f"<g><title>{html.escape(name)}, {share:.1%}</title>"
        f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.3, 0.2):.1f}" '
        f'height="{ROW - 1}" fill="{_color(name)}"/>{text}</g>'
    )


def _color(name: str) -> str:
    """Warm for ours, by the name so that it is the same in every picture; the kernel's are blue."""
    number = zlib.crc32(name.encode())
    if name.endswith("_[k]"):
        return _hex(200 + number % 25, 0.60, 0.72 + number % 12 / 100)
    return _hex(15 + number % 40, 0.85, 0.66 + number % 14 / 100)


def _hex(hue: float, saturation: float, lightness: float) -> str:
    channels = colorsys.hls_to_rgb(hue / 360, lightness, saturation)
    return "#" + "".join(f"{round(channel * 255):02x}" for channel in channels)
