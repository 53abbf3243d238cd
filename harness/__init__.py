"""truename: who is a language model really?

The rooms are listed, in reading order, in docs/architecture.md.
"""
