"""App: the composition root. Small functions that open things and join the rooms."""

from __future__ import annotations

import os
from pathlib import Path

from steelyard import studio
from steelyard.studio import Studio


def load_studio(folder: Path, *, serving: bool = False) -> Studio:
    """Read and check a studio; ``serving`` also looks for every secret that it names.

    Raises: StudioFaults.
    """
    return studio.load(folder, os.environ if serving else None)
