"""`make demo`: three models, 60 held-out tool prompts, one table."""
