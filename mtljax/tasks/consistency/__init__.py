"""Tasks that hold the predictions of others consistent, by geometry or by learned networks."""
