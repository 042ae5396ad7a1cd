"""The built-in teacher: conversations of the annie-smol domain from a grammar, without a network or a model.

Everything follows docs/annie-smol-domain.md; nothing is taken from a scenario. One seed gives one conversation, byte
for byte.
"""
