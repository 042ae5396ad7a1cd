"""Safe reading of untrusted input: size limits, and files that must be regular and not too large."""
