from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from bench.flamegraph import svg, tree
from bench.profiles import collapse_perf

_SCRIPT = """\
python
\tffffffff81a tcp_sendmsg+0x2b ([kernel.kallsyms])
\t7f00 write+0x10 (/lib/libc.so.6)

reactor-0
\t5500 gateway_core::hub;publish+0xff (/x/_native.abi3.so)
\t5501 [unknown] (/x/_native.abi3.so)

python
\tffffffff81a tcp_sendmsg+0x2b ([kernel.kallsyms])
\t7f00 write+0x10 (/lib/libc.so.6)
"""


def test_perf_samples_become_stacks_with_the_caller_first() -> None:
    assert list(collapse_perf(_SCRIPT.splitlines())) == [
        "python;write;tcp_sendmsg_[k] 2",
        "reactor-0;[unknown];gateway_core::hub:publish 1",
    ]


def test_no_samples_are_no_stacks() -> None:
    assert list(collapse_perf([])) == []


def test_stacks_add_up_to_a_tree() -> None:
    root = tree(["main;a;b 3", "main;a 1", "main;c 4", "no count", ""])
    assert (root.samples, root.children["main"].children["a"].samples) == (8, 4)


def test_the_picture_is_xml_and_tells_every_share() -> None:
    picture = ElementTree.fromstring(svg(tree(["main;<lambda> 3", "main;b&c_[k] 1"]), "title"))
    titles = [title.text for title in picture.iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["main, 100.0%", "<lambda>, 75.0%", "b&c_[k], 25.0%"]
