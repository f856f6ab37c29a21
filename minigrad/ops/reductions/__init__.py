"""Operations over axes: sums, running sums, statistics, order."""
