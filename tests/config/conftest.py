"""A machine under load is no reason for a property test to fail."""

from hypothesis import HealthCheck, settings

settings.register_profile("wirewright", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wirewright")
