"""A campaign with nothing wrong in it, for tests to change."""

GOOD = """
campaign: small
targets:
  - {name: s, role: suspect, engine: embedded, model: "lab:suspect"}
arms: [absent]
probes: [identity]
languages: [en]
samples: 1
"""
