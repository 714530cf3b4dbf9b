"""Which rows of a block something holds for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def where(column: NDArray[np.bool_] | NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """The rows, by number, ascending, in which a column of shape (rows,) is not 0.

    As `numpy.flatnonzero`, whose way through four functions costs as much as thousands of rows, dozens of times a block.
    """
    found: NDArray[np.int64] = column.nonzero()[0]
    return found
