"""What a schema cannot say of a configuration: keys that must agree, and files that must be there.

Every check yields its faults as sentences that name the key, the value and the remedy.
"""

from slams.consistency import cells, fields, inputs, methods
from slams.experiment import Config


def faults(config: Config) -> list[str]:
    """Every fault of a configuration that has passed the schema."""
    checks = (*fields.CHECKS, *cells.CHECKS, *methods.CHECKS, *inputs.CHECKS)
    return [fault for check in checks for fault in check(config)]
