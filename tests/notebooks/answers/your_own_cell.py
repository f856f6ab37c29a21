"""ANSWERS to notebook 3, by the id of the exercise's cell."""

from tests.notebooks.answer import Answer

ANSWERS = {
    "exercise-3-1": Answer(
        """
def leak_of(half_life):
    return 1 - 0.5 ** (1 / half_life)
""",
        (
            ("1 - 0.5 ** (1 / half_life)", "1 / half_life", "with a half-life of 1 the unit would keep 0.000"),
            ("1 - 0.5 ** (1 / half_life)", "0.5 ** (1 / half_life)", "with a half-life of 5 the unit would keep 0.000"),
            ("1 - 0.5 ** (1 / half_life)", "0.5 / half_life", "with a half-life of 5 the unit would keep 0.590"),
        ),
    ),
    "exercise-3-2": Answer(
        """
class GatedCell(Cell):
    gates, state_names = 2, ("h",)

    def step(self, x, state, h):
        z = mg.linear_sum(x, self.Wc, h, self.Wr, self.b)
        u, g = mg.sigmoid(z[:, : self.hidden_size]), mg.tanh(z[:, self.hidden_size :])
        return (1 - u) * state[0] + u * g
""",
        (
            ("u, g = mg", "g, u = mg.tanh(z[:, : self.hidden_size]), mg.sigmoid(z[:, self.hidden_size :])  # ",
             "the two blocks are exchanged"),
            ("(1 - u) * state[0] + u * g", "u * state[0] + (1 - u) * g", "h(T−1) is off by up to"),
            ("* state[0]", "* state[0].detach()", "the values are right, the gradient is not"),
            ("mg.sigmoid(z[:, : self.hidden_size])", "z", "it stops with ValueError"),
        ),
    ),
    "exercise-3-3": Answer(
        """
class AddingCell(Cell):
    gates, state_names = 2, ("h", "c")

    def step(self, x, state, h):
        z = mg.linear_sum(x, self.Wc, h, self.Wr, self.b)
        c = state[1] + mg.tanh(z[:, : self.hidden_size])
        return mg.sigmoid(z[:, self.hidden_size :]) * mg.tanh(c), c
""",
        (
            ("return mg.sigmoid(z[:, self.hidden_size :]) * mg.tanh(c), c",
             "return c, mg.sigmoid(z[:, self.hidden_size :]) * mg.tanh(c)", "come in the wrong order"),
            ("state[1] +", "state[0] +", "c(1) is off by up to"),
            ("* mg.tanh(c)", "* c", "h(0) is off by up to"),
            (" * mg.tanh(c), c", " * mg.tanh(c)", "it stops with"),
            ("state[1] +", "state[1].detach() +", "the values are right, the gradient is not"),
        ),
    ),
    "exercise-3-4": Answer(
        """
def slope(xp, z):
    return 1 / (1 + xp.abs(z)) ** 2
""",
        (
            (" ** 2", "", "it disagrees with the finite differences. gradcheck: inputs[0]"),
            ("xp.abs(z)", "z", "it disagrees with the finite differences"),
            ("return 1", "return 2", "it disagrees with the finite differences"),
        ),
    ),
}  # fmt: skip
