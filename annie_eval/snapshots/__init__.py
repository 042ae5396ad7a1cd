"""Snapshots: the structure of each scenario's answer from one model, stored as JSON and compared by syrupy.

Imported only for `pytest -m snapshot`.
"""
