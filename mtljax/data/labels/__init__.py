"""Labels that are derived from others: normals, edges, flow, motion, boxes."""
