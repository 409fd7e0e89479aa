"""How a step runs on many devices and hosts."""
