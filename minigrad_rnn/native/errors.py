"""The error of the compiled sequences: why they are not used on this machine."""


class NativeError(RuntimeError):
    """The compiled sequences cannot be used here; the first line says why, the others hold the compiler's words."""


class TimeLimitError(NativeError):
    """Compiling or checking them took too long and was stopped."""
