"""What comes from outside is read without trust: size limits, and files read as regular files up to a size."""
