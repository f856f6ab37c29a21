"""ANSWERS to notebook 1, by the id of the exercise's cell."""

from tests.notebooks.answer import Answer

ANSWERS = {
    "exercise-1-1": Answer(
        """
def dz_of(dh, h):
    return dh * (1 - h**2)
""",
        (
            ("h**2", "np.tanh(h) ** 2", "no second tanh"),
            ("(1 - h**2)", "h * (1 - h)", "logistic"),
            ("h**2", "h", "off by up to"),
            ("dh *", "-dh *", "wrong sign"),
            ("return dh * (1 - h**2)", "dh * (1 - h**2)", "does your function return"),
        ),
    ),
    "exercise-1-2": Answer(
        """
def contributions_of_step(dz, x, h_before):
    return np.outer(dz, x), np.outer(dz, h_before), dz
""",
        (
            ("np.outer(dz, h_before)", "np.outer(h_before, dz)", "dWr is transposed"),
            ("np.outer(dz, x)", "np.outer(x, dz)", "dWc has shape (2, 3), want (3, 2)"),
            (", dz\n", "\n", "return three arrays"),
            ("np.outer(dz, h_before)", "dz @ h_before", "dWr has shape ()"),
        ),
    ),
    "exercise-1-3": Answer(
        """
def dh_before(dz, Wr):
    return Wr.T @ dz
""",
        (("Wr.T @ dz", "Wr @ dz", "its transpose"), ("Wr.T @ dz", "Wr.T * dz", "has shape (3, 3)")),
    ),
    "exercise-1-4": Answer(
        """
def shares(contributions):
    G = contributions.sum(axis=0)
    return (contributions * G).sum(axis=(1, 2)) / (G * G).sum()
""",
        (
            (
                "return (contributions * G).sum(axis=(1, 2)) / (G * G).sum()",
                "n = np.sqrt((contributions**2).sum(axis=(1, 2))); return n / n.sum()",
                "its share is negative",
            ),
            ("(G * G).sum()", "np.sqrt((G * G).sum())", "the shares add up to 2, want 1"),
        ),
    ),
    "exercise-1-5": Answer(
        """
def step_from_lags(terms, s):
    return sum(terms[t, t - s] for t in range(s, len(terms)))
""",
        (
            ("sum(terms[t, t - s] for t in range(s, len(terms)))", "terms[s].sum(axis=0)", "that is row s"),
            ("sum(terms[t, t - s] for t in range(s, len(terms)))", "terms[:, s].sum(axis=0)", "that is column s"),
            ("range(s,", "range(s + 1,", "off by up to"),
        ),
    ),
}
