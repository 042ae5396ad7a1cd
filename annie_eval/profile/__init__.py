"""A profile says what "shippable" means for one assistant: its types, its files, its checks."""
