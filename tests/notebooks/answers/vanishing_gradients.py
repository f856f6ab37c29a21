"""ANSWERS to notebook 2, by the id of the exercise's cell."""

from tests.notebooks.answer import Answer

ANSWERS = {
    "exercise-2-1": Answer(
        """
def step_jacobian(Wr, h):
    return (1 - h**2)[:, None] * Wr
""",
        (
            ("[:, None]", "", "1 − h² scales the columns"),
            ("(1 - h**2)[:, None] * Wr", "Wr", "the tanh's slope 1 − h² is missing"),
            ("(1 - h**2)[:, None] * Wr", "((1 - h**2)[:, None] * Wr).T", "J is transposed"),
        ),
    ),
    "exercise-2-2": Answer(
        """
def steps_until(rate, limit):
    k = 0
    while rate**k >= limit:
        k += 1
    return k
""",
        (
            ("return k", "return k - 1", "after 9 steps 0.002 is left, not less than 0.001"),
            ("return k", "return k + 1", "limit = 0.001 is off by up to 1"),
            ("return k", "return np.log(limit) / np.log(rate)", "is off by up to 0.034"),
        ),
    ),
    "exercise-2-3": Answer(
        """
def forget_bias_for(n):
    f = 0.5 ** (1 / n)
    return np.log(f / (1 - f))
""",
        (
            ("np.log(f / (1 - f))", "f", "which b gives σ(b) = 0.500?"),
            ("f / (1 - f)", "(1 - f) / f", "b for n = 10 has the wrong sign"),
            ("1 / n", "n", "b for n = 10 is off by up to"),
        ),
    ),
    "exercise-2-4": Answer(
        """
def reach(norms, share):
    return max(k for k, norm in enumerate(norms) if norm >= share * norms.max())
""",
        (
            ("norms.max()", "norms[0]", "not of the one at lag 0"),
            ("max(k for k, norm in enumerate(norms) if norm >= share * norms.max())",
             "next(k for k, norm in enumerate(norms) if norm < share * norms.max()) - 1", "ask for the largest"),
            (" * norms.max()", "", "the reach is off by up to 2"),
        ),
    ),
    "exercise-2-5": Answer(
        """
def clipped(gradients, limit):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return [g * min(1.0, limit / norm) for g in gradients]
""",
        (
            ("g * min(1.0, limit / norm)", "g * min(1.0, limit / np.sqrt((g**2).sum()))", "scaled by its own norm"),
            ("g * min(1.0, limit / norm)", "np.clip(g, -limit, limit)", "each entry was cut"),
            ("min(1.0, limit / norm)", "limit / norm", "must stay as it is"),
            ("return [g", "[g", "return a list with as many arrays"),
        ),
    ),
}  # fmt: skip
