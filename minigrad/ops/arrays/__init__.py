"""Operations that make arrays, reshape them and join them."""
