"""Keeps libraries from printing where a command prints its own."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from logging import getLogger


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars, its advice, and its notices of future renamings; errors still show."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    kernels = getLogger("bitsandbytes.backends.cpu.ops")  # names a faster kernel for a CPU, once, when PEFT imports it
    kernels.setLevel("ERROR")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            # said by PEFT while it loads; whether the tensors fit is checked afterwards, as an error
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
            # said where the base is no repository on the hub
            warnings.filterwarnings("ignore", message="Unable to fetch remote file")
            warnings.filterwarnings("ignore", message="Could not find a config file")
            # said while a PiSSA adapter is converted, which is what it asks for
            warnings.filterwarnings("ignore", message="PiSSA changes the base weights")
            yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
