"""A skip mark for tests that compare corner cases with NumPy 2.4."""

from __future__ import annotations

import numpy as np
import pytest

BEFORE_2_4 = np.lib.NumpyVersion(np.__version__) < "2.4.0"
beside_numpy_2_4 = pytest.mark.skipif(BEFORE_2_4, reason=f"NumPy {np.__version__} has other corners than 2.4")
