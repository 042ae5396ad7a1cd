"""Conversations to train on: written by a teacher, validated, and kept apart from what the gates ask."""
