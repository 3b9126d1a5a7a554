"""Boosted trees that only predict: LightGBM's C library without LightGBM's Python package.

``import lightgbm`` takes scikit-learn and pandas along wherever they are installed, and SciPy always: some seconds and
some 190 MB in every worker. The library itself needs none of them, and its C interface is documented and stable. So it
is loaded from where the package keeps it, and the package is imported only by those who train.
"""

from __future__ import annotations

import ctypes
import importlib.util
import weakref
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from policy.candidates import FloatArray
from policy.tree_text import TreeText, check_text

if TYPE_CHECKING:
    import lightgbm

_FLOAT64: Final = 1
_BY_COLUMNS, _BY_ROWS = 0, 1
_NORMAL: Final = 0
_FIRST, _ALL = 0, -1


@dataclass(frozen=True)
class Trees:
    """A booster of one output, made from the text that LightGBM writes; its predictions are ``Booster.predict``'s.

    Attributes:
        content: the text, in UTF-8.
        text: what it says of the booster.

    Raises:
        ValueError: the text is damaged, or not of a booster of one output.

    Example:
        >>> import lightgbm, numpy as np
        >>> rows = np.arange(100.0)[:, None]
        >>> settings = {"objective": "regression", "num_threads": 1, "verbose": -1}
        >>> booster = lightgbm.train(settings, lightgbm.Dataset(rows, rows[:, 0] > 50), 5)
        >>> trees = Trees.of(booster)
        >>> bool((trees.predict(rows) == booster.predict(rows)).all()), trees.text.n_trees
        (True, 5)
    """

    content: bytes = field(repr=False)
    text: TreeText = field(init=False, compare=False)
    _handle: ctypes.c_void_p = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        text = check_text(self.content)
        library, handle = _library(), ctypes.c_void_p()
        n_iterations = ctypes.c_int()
        failed = library.LGBM_BoosterLoadModelFromString(self.content, ctypes.byref(n_iterations), ctypes.byref(handle))
        if failed:
            raise ValueError(f"LightGBM does not load this booster: {_last_error(library)}")
        weakref.finalize(self, library.LGBM_BoosterFree, handle)
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "_handle", handle)

    @classmethod
    def of(cls, booster: lightgbm.Booster) -> Trees:
        """A trained booster, up to its best iteration where training stopped early.

        Raises:
            ValueError: it has several outputs, linear leaves, no trees, or was trained on categories of pandas.
        """
        return cls(booster.model_to_string().encode())

    def __reduce__(self) -> tuple[type[Trees], tuple[bytes]]:
        """The handle is of this process alone."""
        return Trees, (self.content,)

    def predict(self, features: FloatArray, threads: int = 1) -> FloatArray:
        """One prediction a row, shape (m,); no row's depends on the others, nor on the number of threads.

        Args:
            features: shape (m, k), 64-bit floats; rows or columns contiguous, or else they are copied.
            threads: of this machine; more than 1 pays only for many thousands of rows.

        Raises:
            ValueError: the matrix has another number of columns or other entries.
        """
        if features.ndim != 2 or features.shape[1] != self.text.n_features or features.dtype != np.float64:
            raise ValueError(
                f"features must be 64-bit floats in {self.text.n_features} columns; "
                f"received {features.dtype} of shape {features.shape}"
            )
        if not (features.flags.f_contiguous or features.flags.c_contiguous):
            features = np.ascontiguousarray(features)
        n_rows = len(features)
        predictions = np.empty(n_rows)
        if n_rows == 0:
            return predictions
        library, n_predictions = _library(), ctypes.c_int64()
        failed = library.LGBM_BoosterPredictForMat(
            self._handle,
            features.ctypes.data,
            _FLOAT64,
            n_rows,
            features.shape[1],
            _BY_COLUMNS if features.flags.f_contiguous else _BY_ROWS,
            _NORMAL,
            _FIRST,
            _ALL,
            b"verbosity=-1 num_threads=%d" % threads,
            ctypes.byref(n_predictions),
            predictions.ctypes.data,
        )
        if failed:
            raise ValueError(f"LightGBM does not predict: {_last_error(library)}")
        return predictions


@cache
def _library() -> Any:
    """LightGBM's C library; the one that the package uses, where that is imported too.

    Raises:
        ImportError: LightGBM is not installed.
    """
    package = importlib.util.find_spec("lightgbm")
    folders = None if package is None else package.submodule_search_locations
    if not folders:
        raise ImportError("LightGBM is not installed; trained policies need it")
    # The package's own module for finding the library; it imports nothing, but as ``lightgbm.libpath`` it would.
    found = importlib.util.spec_from_file_location("policy._lightgbm_libpath", f"{folders[0]}/libpath.py")
    if found is None or found.loader is None:
        raise ImportError(f"{folders[0]}: holds no libpath.py; is this LightGBM 4.6 or later?")
    libpath = importlib.util.module_from_spec(found)
    found.loader.exec_module(libpath)
    library = libpath._LIB
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    library.LGBM_BoosterLoadModelFromString.argtypes = [ctypes.c_char_p, pointer, pointer]
    library.LGBM_BoosterFree.argtypes = [pointer]
    library.LGBM_BoosterPredictForMat.argtypes = [
        *(pointer, pointer, number, ctypes.c_int32, ctypes.c_int32),
        *(number, number, number, number, ctypes.c_char_p, pointer, pointer),
    ]
    return library


def _last_error(library: Any) -> str:
    return str(library.LGBM_GetLastError().decode(errors="replace"))
