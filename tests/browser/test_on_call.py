"""Ten tasks of a person on call, each done from the overview in at most five clicks and keys."""

import pytest

pytestmark = pytest.mark.timeout(240)
