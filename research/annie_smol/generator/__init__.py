"""The built-in teacher: generates conversations of the annie-smol domain from a grammar, without network or model.

Everything follows docs/annie-smol-domain.md; nothing is taken from a scenario. The same seed gives the same
conversation, byte for byte.
"""
