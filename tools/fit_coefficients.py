#!/usr/bin/env python3
"""Fits the polynomials and rational functions of autograd/kernels/vector_math.h (needs mpmath).

Prints autograd/kernels/vector_math_coefficients.h; the error of each fit, before rounding, stands beside it:

    tools/fit_coefficients.py > autograd/kernels/vector_math_coefficients.h
"""

import mpmath as mp

mp.mp.dps = 60


def polynomial(f, low, high, degree):
    """Near-minimax polynomial, lowest power first, and its largest absolute error."""
    coefficients, error = mp.chebyfit(f, [low, high], degree + 1, error=True)
    return coefficients[::-1], error


def evaluate(coefficients, t):
    return mp.polyval(coefficients[::-1], t)


def rational(f, nodes, numerator, denominator):
    """P / Q with Q(0) = 1 that equals f at the nodes."""
    size = numerator + 1 + denominator
    assert len(nodes) == size
    matrix, right = mp.matrix(size, size), mp.matrix(size, 1)
    for row, t in enumerate(nodes):
        value = f(t)
        for power in range(numerator + 1):
            matrix[row, power] = t**power
        for power in range(1, denominator + 1):
            matrix[row, numerator + power] = -value * t**power
        right[row] = value
    solution = mp.lu_solve(matrix, right)
    return list(solution[: numerator + 1]), [mp.mpf(1)] + list(solution[numerator + 1 :])


def odd_rational(f, limit, numerator, denominator):
    """x P(x^2) / Q(x^2) for |x| <= limit: the nodes are the positive half of Chebyshev's."""
    count = numerator + 1 + denominator
    nodes = [(limit * mp.sin((2 * k + 1) * mp.pi / (4 * count))) ** 2 for k in range(count)]
    p, q = rational(lambda t: f(mp.sqrt(t)) / mp.sqrt(t), nodes, numerator, denominator)

    def relative_error(x):
        return abs(x * evaluate(p, x * x) / evaluate(q, x * x) / f(x) - 1)

    return p, q, max(relative_error(limit * k / 2000) for k in range(1, 2000))


def emit(name, kind, coefficients, comment):
    digits = 10 if kind == "float" else 18  # one more than a round trip needs
    suffix = "F" if kind == "float" else ""
    values = []
    for c in coefficients:
        text = mp.nstr(c, digits, strip_zeros=False)
        values.append(("  " + text if "." in text or "e" in text else "  " + text + ".0") + suffix + ",")
    print(f"\n// {comment}")
    print(f"inline constexpr {kind} {name}[] = {{")
    print("\n".join(values))
    print("};")


def emit_polynomial(name, kind, f, low, high, degree, comment):
    coefficients, error = polynomial(f, low, high, degree)
    emit(name, kind, coefficients, f"{comment}; error {mp.nstr(error, 2)}")


def emit_split(name, kind, value, bits, parts, comment):
    """Parts that add up to the value; all but the last have few bits, so that their small multiples are exact."""
    split = []
    for _ in range(parts - 1):
        exponent = mp.floor(mp.log(abs(value), 2)) + 1 - bits
        part = mp.floor(value / mp.mpf(2) ** exponent) * mp.mpf(2) ** exponent
        split.append(part)
        value -= part
    emit(name, kind, split + [value], comment)


def stable(f, series, threshold):
    """f, or near 0, where f cancels, its series."""
    return lambda t: series(t) if abs(t) < threshold else f(t)


def exp_tail(r):  # (exp(r) - 1 - r) / r^2
    return stable(lambda r: (mp.expm1(r) - r) / r**2, lambda r: mp.nsum(lambda k: r**k / mp.factorial(k + 2), [0, 12]), 1e-6)(r)


def log_tail(z):  # log((1 + s) / (1 - s)) = 2 s + s z T(z), z = s^2
    def direct(z):
        s = mp.sqrt(z)
        return (mp.log((1 + s) / (1 - s)) / s - 2) / z

    return stable(direct, lambda z: mp.nsum(lambda k: 2 * z**k / (2 * k + 3), [0, 8]), 1e-8)(z)


def log_tail2(z):  # log((1 + s) / (1 - s)) = 2 s + 2/3 s z + s z^2 T(z)
    return stable(lambda z: (log_tail(z) - mp.mpf(2) / 3) / z, lambda z: mp.nsum(lambda k: 2 * z**k / (2 * k + 5), [0, 8]), 1e-8)(z)


def sin_tail(t):  # sin(r) = r + r t S(t), t = r^2
    return mp.nsum(lambda k: (-1) ** (k + 1) * t**k / mp.factorial(2 * k + 3), [0, 20])


def cos_tail(t):  # cos(r) = 1 - t / 2 + t^2 C(t)
    return mp.nsum(lambda k: (-1) ** k * t**k / mp.factorial(2 * k + 4), [0, 20])


def erf_tail(t):  # erf(x) = x + x E(t), t = x^2
    return 2 / mp.sqrt(mp.pi) * mp.nsum(lambda k: (-t) ** k / (mp.factorial(k) * (2 * k + 1)), [0, 40]) - 1


def erfcx(x):
    return mp.exp(x * x) * mp.erfc(x)


def sinh_tail(t):  # sinh(x) = x + x t S(t), t = x^2
    return mp.nsum(lambda k: t**k / mp.factorial(2 * k + 3), [0, 25])


def atan_tail(t):  # atan(x) = x + x t A(t), t = x^2
    def direct(t):
        return (mp.atan(mp.sqrt(t)) / mp.sqrt(t) - 1) / t

    return stable(direct, lambda t: mp.nsum(lambda k: (-1) ** (k + 1) * t**k / (2 * k + 3), [0, 8]), 1e-8)(t)


def asin_tail(t):  # asin(x) = x + x t A(t), t = x^2
    def direct(t):
        return (mp.asin(mp.sqrt(t)) / mp.sqrt(t) - 1) / t

    def series(t):
        return mp.nsum(lambda k: mp.binomial(2 * k + 2, k + 1) / mp.mpf(4) ** (k + 1) / (2 * k + 3) * t**k, [0, 8])

    return stable(direct, series, 1e-8)(t)


def scaled_erfc(shift):  # (1 + 2 a) exp(a^2) erfc(a) by q = (a - shift) / (a + shift), after Shepherd and Laframboise, 1981
    def function(q):
        a = shift * (1 + q) / (1 - q)
        return (1 + 2 * a) * erfcx(a)

    return function


def main():
    print("// Written by tools/fit_coefficients.py. Lowest powers first.")
    print("#pragma once\n\n// clang-format off")
    print("namespace tapegrad::kernels::math_coefficients {")
    half_ln2 = mp.log(2) / 2 * mp.mpf("1.001")
    text = "exp(r) = 1 + r + r^2 P(r) for |r| <= log(2) / 2"
    emit_polynomial("exp_f32", "float", exp_tail, -half_ln2, half_ln2, 4, text)
    emit_polynomial("exp_f64", "double", exp_tail, -half_ln2, half_ln2, 10, text)

    largest = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.001")
    text = "log((1 + s) / (1 - s)) = 2 s + s z P(z), z = s^2, for sqrt(1/2) <= (1 + s) / (1 - s) <= sqrt(2)"
    emit_polynomial("log_f32", "float", log_tail, mp.mpf(0), largest, 3, text)
    emit_polynomial("log_f64", "double", log_tail, mp.mpf(0), largest, 6, text)
    text = "the same for 1 <= (1 + s) / (1 - s) <= 2"
    emit_polynomial("log_unit_f32", "float", log_tail, mp.mpf(0), mp.mpf(1) / 9, 4, text)
    emit_polynomial("log_unit_f64", "double", log_tail, mp.mpf(0), mp.mpf(1) / 9, 10, text)
    text = "the same as log, from z^2 on: 2 s + 2/3 s z + s z^2 P(z)"
    emit_polynomial("log_tail_f32", "float", log_tail2, mp.mpf(0), largest, 3, text)
    emit_polynomial("log_tail_f64", "double", log_tail2, mp.mpf(0), largest, 7, text)

    emit_split("ln2_f32", "float", mp.log(2), 12, 2, "log(2): 12 bits, and the rest")
    emit_split("ln2_f64", "double", mp.log(2), 33, 2, "log(2): 33 bits, and the rest")
    emit_split("half_pi_f32", "float", mp.pi / 2, 11, 4, "pi / 2: three times 11 bits, and the rest")
    emit_split("half_pi_f64", "double", mp.pi / 2, 33, 4, "pi / 2: three times 33 bits, and the rest")
    emit_split("pi_f32", "float", mp.pi, 24, 2, "pi: 24 bits, and the rest")
    emit_split("pi_f64", "double", mp.pi, 53, 2, "pi: 53 bits, and the rest")

    quarter = (mp.pi / 4 * mp.mpf("1.001")) ** 2
    text = "sin(r) = r + r t P(t), t = r^2, for |r| <= pi / 4"
    emit_polynomial("sin_f32", "float", sin_tail, mp.mpf(0), quarter, 2, text)
    emit_polynomial("sin_f64", "double", sin_tail, mp.mpf(0), quarter, 6, text)
    text = "cos(r) = 1 - t / 2 + t^2 P(t)"
    emit_polynomial("cos_f32", "float", cos_tail, mp.mpf(0), quarter, 2, text)
    emit_polynomial("cos_f64", "double", cos_tail, mp.mpf(0), quarter, 6, text)

    text = "sinh(x) = x + x t P(t), t = x^2, for |x| <= 1"
    emit_polynomial("sinh_f32", "float", sinh_tail, mp.mpf(0), mp.mpf(1), 3, text)
    emit_polynomial("sinh_f64", "double", sinh_tail, mp.mpf(0), mp.mpf(1), 6, text)
    eighth = (mp.sqrt(2) - 1) ** 2 * mp.mpf("1.001")
    text = "atan(x) = x + x t P(t), t = x^2, for |x| <= tan(pi / 8)"
    emit_polynomial("atan_f32", "float", atan_tail, mp.mpf(0), eighth, 4, text)
    emit_polynomial("atan_f64", "double", atan_tail, mp.mpf(0), eighth, 10, text)
    text = "asin(x) = x + x t P(t), t = x^2, for |x| <= 1/2"
    emit_polynomial("asin_f32", "float", asin_tail, mp.mpf(0), mp.mpf("0.2501"), 4, text)
    emit_polynomial("asin_f64", "double", asin_tail, mp.mpf(0), mp.mpf("0.2501"), 12, text)

    p, q, error = odd_rational(mp.tanh, mp.mpf(9), 5, 5)
    text = f"tanh(x) = x P(t) / Q(t), t = x^2, for |x| <= 9; error {mp.nstr(error, 2)}"
    emit("tanh_numerator_f32", "float", p, text)
    emit("tanh_denominator_f32", "float", q, "Q")
    p, q, error = odd_rational(mp.erf, mp.mpf(4), 6, 5)
    text = f"erf(x) = x P(t) / Q(t), t = x^2, for |x| <= 4; error {mp.nstr(error, 2)}"
    emit("erf_numerator_f32", "float", p, text)
    emit("erf_denominator_f32", "float", q, "Q")

    emit_polynomial("erf_small_f64", "double", erf_tail, mp.mpf(0), mp.mpf(1), 12, "erf(x) = x + x P(t), t = x^2, for |x| <= 1")
    # Cubed: exp(-x^2) makes the error small by itself away from 1.
    nodes = [1 + 5 * ((1 - mp.cos((2 * k + 1) * mp.pi / 28)) / 2) ** 3 for k in range(14)]
    p, q = rational(erfcx, nodes, 6, 7)
    error = max(
        abs(evaluate(p, x) / evaluate(q, x) - erfcx(x)) * mp.exp(-x * x) for x in [1 + mp.mpf(5) * k / 1000 for k in range(1001)]
    )
    text = f"erf(x) = 1 - exp(-x^2) P(x) / Q(x) for 1 <= x <= 6; error {mp.nstr(error, 2)}"
    emit("erf_numerator_f64", "double", p, text)
    emit("erf_denominator_f64", "double", q, "Q")

    text = "erfc(a) = exp(-a^2) P(q) / (1 + 2 a), q = (a - 2) / (a + 2), for 0 <= a <= 10.1"
    emit_polynomial("erfc_f32", "float", scaled_erfc(2), mp.mpf(-1), mp.mpf("8.1") / mp.mpf("12.1"), 10, text)
    text = "erfc(a) = exp(-a^2) P(q) / (1 + 2 a), q = (a - 4) / (a + 4), for 0 <= a <= 27.5"
    emit_polynomial("erfc_f64", "double", scaled_erfc(4), mp.mpf(-1), mp.mpf("23.5") / mp.mpf("31.5"), 22, text)
    print("\n}  // namespace tapegrad::kernels::math_coefficients")


if __name__ == "__main__":
    main()
