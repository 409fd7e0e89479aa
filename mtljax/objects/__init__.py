"""Objects: what their maps should be, what is read from maps, who is who from frame to frame, and how they lie."""
