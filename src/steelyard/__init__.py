"""Steelyard: a self-hosted model studio.

One OpenAI-compatible endpoint over many models. Every call is weighed once, priced under the
contract that its caller signed, booked by double entry, invoiced to whoever pays and settled to
whoever earned.
"""

from importlib.util import find_spec

__version__ = "0.1.0"


def build() -> str:
    """How what every call goes through runs here: ``compiled``, or ``interpreted`` and slower."""
    found = find_spec("steelyard.dispatch.serve")
    assert found is not None
    return "interpreted" if (found.origin or "").endswith(".py") else "compiled"
