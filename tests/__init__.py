"""The project's tests, and the gates themselves (behavior, perf)."""
