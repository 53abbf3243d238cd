"""No secret in anything that a run leaves, whatever a host does with what it was sent."""

from __future__ import annotations

import base64
import json
import zipfile

import pytest

from harness import masking
from tests.commands import truename
from tests.misbehaving import http
from tests.openai_server import chat

SECRETS = {
    "MY_KEY": "sk-Key-planted/0123456789abcdefXYZ",
    "MY_HEADER": "header4planted8Qw2Er5Ty7Ui9",
    "MY_FIELD": "f1eld+planted=6Zx3Cv0Bn",
}
KEY = SECRETS["MY_KEY"]
IN_COMMENT, IN_DESCRIPTION = "c0mmentPlanted7Hj4Kl2Mn8", "d3scribedPlanted5Rt9Yu1Op"
#: The least piece that is looked for.
PIECE = 8


def said(text, **fields):
    return lambda body: http(200, chat(*[f"I am Rio. {text}"] * body.get("n", 1), **fields))


def escaped(write, end=""):
    def answer(body):
        whole = json.dumps(chat(*["I am Rio. @@"] * body.get("n", 1), zz=float("nan")))
        return http(200, (whole.replace("@@", write(KEY)) + end).encode())

    return answer


#: What a host does with the secrets: one of its answers each.
ECHOES = {
    "plainly": said(f"All: {' '.join(SECRETS.values())}"),
    "in all its fields": said(KEY, model=KEY, id=KEY, system_fingerprint=KEY, provider=KEY),
    "with an error cut through the key": lambda body: http(
        400, {"error": {"message": "P" * (400 - len(KEY) + 1) + KEY}}
    ),
    "with an error of its own length": lambda body: http(422, b"P" * (400 - 20) + KEY.encode()),
    "cut by itself": lambda body: http(400, {"error": {"message": f"bad key {KEY[:-1]}"}}),
    "as a page": lambda body: http(200, b"<html>" + b"P" * 60 + KEY.encode()),
    "as base64": said(base64.b64encode(f"user:{KEY}".encode()).decode()),
    "backwards and in capitals": said(f"{KEY[::-1]} {KEY.upper()}"),
    "escaped": escaped(lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key)),
    "escaped in what is no JSON": escaped(
        lambda key: "".join(f"\\u{ord(letter):04x}" for letter in key), end="]"
    ),
    "with escaped slashes": escaped(lambda key: key.replace("/", "\\/")),
    "broken in two": said(f"{KEY[:16]}\u200b{KEY[16:]}"),
}


def pieces(secret):
    return {secret[at : at + PIECE] for at in range(len(secret) - PIECE + 1)}


def contents(folder):
    """All that lies in a folder, that of archives too."""
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "c.yaml":
            yield path.name, path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    for name in archive.namelist():
                        yield f"{path.name}: {name}", archive.read(name)


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES)
def test_no_piece_of_a_secret_is_in_anything_that_is_left(tmp_path, host, monkeypatch, echo):
    seen = []

    def script(number, body):
        seen.append(body)
        return [echo(body)] if number % 5 == 4 else None

    served = host(script)
    (tmp_path / "c.yaml").write_text(
        f"campaign: c  # my key: {IN_COMMENT}\ndescription: of {IN_DESCRIPTION}\ntargets:\n"
        "  - {name: t, role: suspect, engine: endpoint, model: m, api_key_env: MY_KEY,\n"
        f"     base_url: '{served.url}', concurrency: 2, samples_per_request: 2,\n"
        "     headers: {x-secret: $MY_HEADER}, extra_body: {deep: {api_key: $MY_FIELD}}}\n"
        "arms: [absent]\nlanguages: [en]\nsamples: 2\nlimits: {attempts: 2}\n"
    )
    for name, secret in SECRETS.items():
        monkeypatch.setenv(name, secret)
    done = [truename("run", "c.yaml", "--log-file", "log.jsonl", folder=tmp_path)]
    for name in SECRETS:
        monkeypatch.delenv(name)
    masking.forget()  # what follows is typed by others, who know none
    done += [truename(word, "c", folder=tmp_path) for word in ("tally", "report", "bundle")]
    assert [one.exit_code for one in done[1:]] == [0, 0, 0]
    assert any(f"Bearer {KEY}" in head for head in served.heads)
    assert any(SECRETS["MY_HEADER"] in head for head in served.heads)
    assert any(body.get("deep") == {"api_key": SECRETS["MY_FIELD"]} for body in seen)

    left = dict(contents(tmp_path))
    left |= {f"output {at}": one.output.encode() for at, one in enumerate(done)}
    assert {"samples.csv", "journal.sqlite", "log.jsonl", "c.bundle.zip: report.html"} <= set(left)
    secrets = [*SECRETS.values(), IN_COMMENT, IN_DESCRIPTION]
    secrets += [KEY[::-1], KEY.upper(), base64.b64encode(f"user:{KEY}".encode()).decode()[8:-4]]
    sought = {piece for secret in secrets for piece in pieces(secret)}
    text = {name: content.decode("latin-1") for name, content in left.items()}
    found = {(name, piece) for name in text for piece in sought if piece in text[name]}
    assert not found
    assert any("[key]" in one for one in text.values())
    assert "$MY_FIELD" in text["samples.csv"] + text["journal.sqlite"]
