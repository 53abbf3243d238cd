"""A GGUF file's template is found without llama.cpp, and a hostile one is never handed to it."""

from __future__ import annotations

import struct

import pytest

from harness.campaign import EmbeddedTarget
from harness.errors import TargetError
from harness.targets import open_target
from harness.targets.gguf_template import MOST_KEYS, template_in
from harness.targets.templates import MAX_TEMPLATE_CHARACTERS
from tests.hostile_templates import HOSTILE


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def gguf(template):
    """A file with some keys of every kind before the template, and no tensors."""
    numbers = b"".join(
        string(f"n{kind}") + struct.pack("<I", kind) + bytes(size)
        for kind, size in {0: 1, 2: 2, 4: 4, 6: 4, 7: 1, 10: 8, 12: 8}.items()
    )
    words = string("words") + struct.pack("<IIQ", 9, 8, 2) + string("a") + string("bc")
    table = string("table") + struct.pack("<IIQ", 9, 5, 3) + bytes(12)
    name = string("name") + struct.pack("<I", 8) + string("a model")
    last = string("tokenizer.chat_template") + struct.pack("<I", 8) + string(template)
    return struct.pack("<4sIQQ", b"GGUF", 3, 0, 11) + numbers + words + table + name + last


def test_the_template_is_found_behind_keys_of_every_kind(tmp_path):
    (tmp_path / "m.gguf").write_bytes(gguf("{{ messages }}"))
    assert template_in(tmp_path / "m.gguf") == "{{ messages }}"


@pytest.mark.parametrize("cut", [0, 3, 23, 40, 120, 200, -1])
def test_a_broken_file_has_none(tmp_path, cut):
    (tmp_path / "m.gguf").write_bytes(gguf("{{ messages }}")[:cut])
    assert template_in(tmp_path / "m.gguf") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gguf("x" * (4 * MAX_TEMPLATE_CHARACTERS + 1)), "1,600,001 bytes"),
        (
            struct.pack("<4sIQQ", b"GGUF", 3, 0, MOST_KEYS + 1)
            + (string("n") + struct.pack("<IB", 0, 1)) * (MOST_KEYS + 1),
            "10,001 keys",
        ),
    ],
    ids=["long template", "many keys"],
)
def test_a_template_that_is_not_looked_through_is_no_missing_one(tmp_path, content, said):
    """Else llama.cpp's own would be taken for it, in silence."""
    (tmp_path / "m.gguf").write_bytes(content)
    with pytest.raises(TargetError, match=said):
        template_in(tmp_path / "m.gguf")


@pytest.mark.parametrize("template", HOSTILE)
def test_a_hostile_one_never_reaches_llama(tmp_path, hostile, template):
    (tmp_path / "m.gguf").write_bytes(gguf(template))
    path = str(tmp_path / "m.gguf")
    target = open_target(EmbeddedTarget(name="t", role="suspect", engine="embedded", model=path))
    with pytest.raises(TargetError, match=r"CPU time|more memory") as caught:
        target._start()
    assert "m.gguf" in caught.value.where
