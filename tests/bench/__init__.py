"""What is measured is measured as it runs: the settings come first, for they keep NumPy on one thread."""

import infra.settings  # noqa: F401
