"""Figures of tracks: MOTA and its relatives (CLEAR), IDF1 and HOTA, from counts that sequences are pooled by."""
