"""Snapshots: what kind of answer each scenario gets from one model, kept as readable JSON and compared by syrupy.

Imported only where `pytest -m snapshot` asks for it.
"""
