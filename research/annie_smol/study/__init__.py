"""The study: candidates are made, served, judged and compared."""
