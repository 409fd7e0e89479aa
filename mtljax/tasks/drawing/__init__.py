"""How predictions become pictures."""
