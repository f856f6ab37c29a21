"""Operations that read and write at indices."""
