"""The book of identities and the backstories."""

from __future__ import annotations

from harness.campaign import load_backstories, load_book


def test_the_book_holds_sixty_families_with_transliterations():
    book = load_book()
    real = [f for f in book.families.values() if not f.fictional]
    assert len(real) >= 60
    for script, low, high in (
        ("Han", "一", "鿿"),
        ("Kana", "ァ", "ヺ"),
        ("Hangul", "가", "힣"),
        ("Cyrillic", "А", "я"),
        ("Arabic", "ء", "ي"),
    ):
        having = [f.id for f in real if any(low <= c <= high for alias in f.aliases for c in alias)]
        assert len(having) >= 15, f"{script}: {having}"
    assert [f.id for f in real if f.homograph] and [f.id for f in real if f.built_on]


def test_backstories_name_their_source():
    stories = load_backstories()
    assert {b.identity for b in stories if b.stand_in} == {"nex", "qwen", "tavira"}
    assert [b for b in stories if not b.stand_in]
    assert all(b.source for b in stories)
