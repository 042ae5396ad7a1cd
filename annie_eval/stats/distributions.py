"""The beta and normal distributions, and checks of input that all statistics use.

Accuracy: `beta_cdf` is within 1e-11 of the true value, relative, for parameters up to 1e4, within 1e-9 for such up to
1e5 (the logarithms of large factorials cancel). The same holds for everything built on it; the tests compare with
scipy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence


def check_counts(passed: int, n: int) -> None:
    if n < 0 or not 0 <= passed <= n:
        raise ValueError(f"counts must satisfy 0 <= passed <= n, got passed={passed}, n={n}")


def check_open(name: str, value: float) -> None:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie strictly between 0 and 1, got {value!r}")


def check_values(name: str, values: Sequence[float], least: int) -> None:
    if len(values) < least:
        raise ValueError(f"{name} needs at least {least} value(s), got {len(values)}")
    if not all(math.isfinite(value) for value in values):
        raise ValueError(f"{name} holds a value that is not finite")


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b), the CDF of Beta(a, b).

    Continued fraction DLMF 8.17.22, evaluated by Lentz's method (Thompson & Barnett 1986) on the side where it
    converges fast, x < (a + 1) / (a + b + 2); the other side by I_x(a, b) = 1 - I_{1-x}(b, a).

    Raises:
        ValueError: a or b not positive and finite, or x outside [0, 1].
    """
    if not (a > 0 and b > 0 and math.isfinite(a) and math.isfinite(b)):
        raise ValueError(f"beta parameters must be positive and finite, got a={a!r}, b={b!r}")
    if not 0.0 <= x <= 1.0:
        raise ValueError(f"x must lie in [0, 1], got {x!r}")
    if x in (0.0, 1.0):
        return x
    if x > (a + 1) / (a + b + 2):
        return 1.0 - _beta_series(math.log1p(-x), math.log(x), 1.0 - x, b, a)
    return _beta_series(math.log(x), math.log1p(-x), x, a, b)


def _beta_series(log_x: float, log_y: float, x: float, a: float, b: float) -> float:
    """x^a (1-x)^b / (a B(a, b)) over the continued fraction; log_x and log_y are the logarithms of x and 1 - x."""
    tiny = 1e-300
    fraction, c, d = 1.0, 1.0, 0.0
    for step in range(1, 100_000):
        m, odd = divmod(step, 2)
        if odd:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d = 1.0 / (1.0 + term * d or tiny)
        c = 1.0 + term / c or tiny
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return math.exp(a * log_x + b * log_y - _log_beta(a, b)) / (a * fraction)


def beta_quantile(q: float, a: float, b: float) -> float:
    """The x with I_x(a, b) = q, by Newton's method on logarithms, kept inside a bracket that only shrinks.

    Raises:
        ValueError: q not strictly between 0 and 1, or a or b not positive.
    """
    check_open("q", q)
    if q > 0.5:
        return 1.0 - beta_quantile(1.0 - q, b, a)
    low, high = 0.0, 1.0
    x = a / (a + b)
    for _ in range(200):
        cdf = beta_cdf(x, a, b)
        if cdf < q:
            low = x
        else:
            high = x
        following = 0.5 * (low + high)
        if cdf > 0.0:
            # In the lower tail the CDF is close to a power of x, so on a log-log scale it is close to a line.
            density = math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - _log_beta(a, b))
            step = math.log(q / cdf) * cdf / (x * density) if density > 0.0 else math.inf
            newton = x * math.exp(step) if abs(step) < 50 else following
            if low < newton < high:
                following = newton
        if abs(following - x) <= 1e-15 * x:
            return following
        x = following
    return x


def normal_quantile(q: float) -> float:
    # imported here, because it imports decimal and fractions, which would slow pytest's start
    from statistics import NormalDist

    return NormalDist().inv_cdf(q)
