"""Operations that repeat, insert, pad and pick diagonals."""
