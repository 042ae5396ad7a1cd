"""Text shown while a run is in progress: the plan and the progress line. Does no I/O."""

from __future__ import annotations

from annie_eval.run.progress import Progress

_MOST_MISSES = 3  # gates that the line names at most


def plan_line(samples: int, concurrency: int, rows: int, took: dict[str, float], probes: int = 0) -> str:
    """`plan: 8 timing gates, about 4 min, on the quiet server; then 85 samples, about 25 s, 8 at a time`.

    Args:
        took: seconds that `timing`, `state` and `samples` took in an earlier run of the same target, and how many
            samples it `judged`; may be empty.
        probes: number of probes of the server's state, between timing and samples.
    """
    out = []
    if rows:
        gates = "1 timing gate" if rows == 1 else f"{rows} timing gates"
        out.append(f"{gates}, {_about(took.get('timing'))}on the quiet server")
    if probes:
        about = f", about {duration(took['state'])}" if "state" in took else ""
        out.append(f"{probes} probe{'s' if probes > 1 else ''} of the server's state{about}")
    if samples:
        asked = "1 sample" if samples == 1 else f"{samples} samples"
        seconds = took["samples"] * samples / took.get("judged", samples) if "samples" in took else None
        out.append(f"{asked}, {_about(seconds)}{concurrency} at a time")
    return "plan: " + "; then ".join(out or ["nothing to ask"])


def _about(seconds: float | None) -> str:
    return "" if seconds is None else f"about {duration(seconds)}, "


def duration(seconds: float) -> str:
    """`25 s`, `4 min`, `1 h 20 min`."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02} min"


def line(progress: Progress, now: float) -> str:
    """Return the run's state in one line, the most important part first: a narrow terminal cuts the end.

    Args:
        now: seconds of `time.monotonic`.
    """
    passed = max(0.0, now - progress.since)
    if progress.stage == "server":
        return f"{progress.step or 'server: waiting for it'} ({passed:.0f} s)"
    if progress.stage in ("state", "comparison"):
        return f"{progress.step} ({passed:.0f} s)"
    if progress.stage == "timing":
        return _timing(progress, passed)
    if progress.stage == "samples":
        return _samples(progress, passed)
    return ""


def _timing(progress: Progress, passed: float) -> str:
    text = f"timing: {progress.measured} of {progress.rows} gates decided ({duration(passed)})"
    if progress.rounds and progress.next_look > progress.rounds:
        text += f", round {progress.rounds} of {progress.next_look}"
        text += f", next verdict in {duration(passed / progress.rounds * (progress.next_look - progress.rounds))}"
    return text


def _samples(progress: Progress, passed: float) -> str:
    parts = [f"samples: {progress.judged}/{progress.wanted} judged"]
    if progress.judged < progress.wanted:
        parts.append(f"{progress.in_flight} in flight")
    if progress.misses:
        named = [f"{gate} {count}" for gate, count in progress.misses.most_common(_MOST_MISSES)]
        more = len(progress.misses) - len(named)
        parts.append("missed: " + " ".join(named) + (f" +{more} gates" if more else ""))
    if passed >= 1.0 and progress.tokens:
        parts.append(f"{progress.tokens / passed:.0f} tokens/s")
    if passed >= 1.0 and 0 < progress.judged < progress.wanted:
        parts.append(f"{duration(passed / progress.judged * (progress.wanted - progress.judged))} left")
    return ", ".join(parts)
