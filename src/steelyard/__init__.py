"""Steelyard: a self-hosted model studio.

One OpenAI-compatible endpoint over many models. Every call is weighed once, priced under the
contract that its caller signed, booked by double entry, invoiced to whoever pays and settled to
whoever earned.
"""

__version__ = "0.1.0"
