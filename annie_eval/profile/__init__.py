"""Profiles: the scenarios and gates that one assistant must pass. Types, files and checks."""
