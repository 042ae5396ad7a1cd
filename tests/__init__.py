"""The project's tests (unit, e2e, gpu), and the gates (behavior, perf)."""
