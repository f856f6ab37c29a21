"""ANSWERS to notebook 4, by the id of the exercise's cell."""

from tests.notebooks.answer import Answer

ANSWERS = {
    "exercise-4-1": Answer(
        """
def kept(t, s, k1, k2):
    begin = t // k1 * k1 + k1 - k2
    return begin <= s <= t
""",
        (
            (" <= t", "", "the term t = 0, s = 1 is cut (no loss reaches later steps)"),
            ("begin <= s <= t", "0 <= t - s < k2", "t = 6, s = 1 is cut (6 is in the window from 6)"),
            (" + k1 - k2", "", "with k1 = 2, k2 = 6 the term t = 2, s = 0 is kept"),
        ),
    ),
    "exercise-4-2": Answer(
        """
def safe_lag(k1, k2):
    return k2 - k1
""",
        (
            ("k2 - k1", "k2", "a window's first loss goes back only 4 of its 6 steps"),
            ("k2 - k1", "k2 - 1", "the lag of the last loss of a window"),
            ("k2 - k1", "k1", "the lag for k1 = 2, k2 = 6 is off by up to 2"),
        ),
    ),
    "exercise-4-3": Answer(
        """
def compare(truncated, full):
    sizes = np.linalg.norm(truncated), np.linalg.norm(full)
    cosine = np.clip(truncated @ full / (sizes[0] * sizes[1]), -1, 1)
    return np.degrees(np.arccos(cosine)), sizes[0] / sizes[1]
""",
        (
            ("np.degrees(np.arccos(cosine))", "np.arccos(cosine)", "the angle is in radians"),
            ("np.degrees(np.arccos(cosine))", "cosine", "that is the cosine"),
            ("sizes[0] / sizes[1]", "sizes[1] / sizes[0]", "the ratio is upside down"),
            ("np.degrees(np.arccos(cosine)), ", "", "return two numbers"),
        ),
    ),
    "exercise-4-4": Answer(
        """
k1 = 10
""",
        (
            ("10", "40", "with k1 = 40 the first loss of a window sees a lag of 0 only"),
            ("10", "15", "40 is not one of 15"),
            ("10", "5", "it works, but more is possible than 5"),
            ("10", "20", "sees a lag of 20 only"),
        ),
    ),
}
