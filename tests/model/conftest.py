"""What the model explored goes onto the page with everything else that was tried."""

from tests.reliability.conftest import figure

__all__ = ["figure"]
