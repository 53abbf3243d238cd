"""Headers are read with distrust."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from harness.errors import WeightsError
from harness.weights import headers
from harness.weights.checkpoint import open_checkpoint
from harness.weights.sources import open_source

FOUR_BYTES = b'{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
RUBBISH = {
    "empty": b"",
    "seven bytes": b"\x01" * 7,
    "huge length": struct.pack("<Q", 2**63),
    "length over the file": struct.pack("<Q", 1000) + b"{}",
    "no JSON": struct.pack("<Q", 5) + b"hello",
    "a list": struct.pack("<Q", 2) + b"[]",
    "deep nesting": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "NaN in a place": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,NaN]}}',
    "infinite shape": b'{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}}',
    "negative place": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}',
    "true as a number": b'{"a":{"dtype":"U8","shape":[true],"data_offsets":[0,1]}}',
    "unknown type": b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}',
    "wrong size": b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}',
    "overlap": b'{"a":' + FOUR_BYTES + b',"b":' + FOUR_BYTES + b"}",
    "gap": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
    "twice": b'{"a":' + FOUR_BYTES + b',"a":' + FOUR_BYTES + b"}",
    "past the end": b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}',
}


@pytest.mark.parametrize("name", RUBBISH)
def test_hostile_headers_are_refused_with_the_file_named(name, tmp_path):
    content = RUBBISH[name]
    if content[:1] == b"{":
        content = struct.pack("<Q", len(content)) + content + b"\0" * 8
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="no sound safetensors file") as problem:
        open_checkpoint(str(tmp_path / "bad.safetensors"))
    assert "bad.safetensors" in str(problem.value)


@settings(
    max_examples=200,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.data())
def test_no_header_crashes_the_reader_or_reaches_outside_the_file(tmp_path, data):
    save_file(
        {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)},
        str(tmp_path / "x.safetensors"),
    )
    content = bytearray((tmp_path / "x.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = (
        bytes(content[: data.draw(st.integers(0, len(content)))])
        if data.draw(st.booleans())
        else bytes(content)
    )
    (tmp_path / "y.safetensors").write_bytes(content)
    try:
        found = headers.read_header(open_source(tmp_path / "y.safetensors"))
    except WeightsError:
        return
    assert all(t.begin >= 8 and t.begin + t.size <= len(content) for t in found)
