"""Recording scenes of the CARLA simulator. Only this folder knows its client API, the package ``carla``."""
