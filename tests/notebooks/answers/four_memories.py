"""ANSWERS to notebook 5, by the id of the exercise's cell."""

from tests.notebooks.answer import Answer

ANSWERS = {
    "exercise-5-1": Answer(
        """
def size_of_tdnn(I, H, O, N):
    return H * (N + 1) * I + H + O * H + O
""",
        (
            ("(N + 1)", "N", "holds N + 1 inputs"),
            ("+ H + O * H + O", "+ O * H", "have biases, too"),
            ("(N + 1) * I", "(N + 1)", "the size for I, H, O, N = 3, 5, 2, 0 is off by up to 10"),
        ),
    ),
    "exercise-5-2": Answer(
        """
def memory(Y, mu):
    m = np.zeros(len(Y))
    for t in range(1, len(Y)):
        m[t] = mu * m[t - 1] + Y[t - 1]
    return m
""",
        (
            ("for t in range(1, len(Y)):",
             "for t in range(len(Y)): m[t] = mu * m[t - 1] * (t > 0) + Y[t]\n    for t in ():", "it ends with Y(t−1)"),
            ("+ Y[t - 1]", "+ (1 - mu) * Y[t - 1]", "with the weight 1, not 1 − μ"),
            ("mu * m[t - 1]", "m[t - 1]", "m is off by up to"),
        ),
    ),
    "exercise-5-3": Answer(
        """
def link(h):
    return h.detach()
""",
        (
            ("h.detach()", "h", "the gradient still crosses the link"),
            ("h.detach()", "mg.zeros(h.shape, dtype=h.dtype)", "the link must not change the values"),
            ("h.detach()", "0.5 * h + 0.5 * h.detach()", "∂DIV/∂Wr is off by up to"),
        ),
    ),
    "exercise-5-4": Answer(
        """
def parallel(f, X, Y_before):
    Y = []
    for x in X:
        Y_before = f(x, Y_before)
        Y.append(Y_before)
    return np.array(Y)
""",
        (
            ("        Y_before = f(x, Y_before)\\n        Y.append(Y_before)".replace("\\n", "\n"),
             "        Y.append(f(x, Y_before))", "is to be given the last output"),
            ("f(x, Y_before)", "f(0, Y_before)", "Y is off by up to"),
        ),
    ),
}  # fmt: skip
